/** @typedef {{name: string, start: number, length: number, model: string, items: number, requests: number}} Part */

const ENTRY = /\s*([\w-]+)((?:\s*;\s*\w+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^,;"\s]+))*)\s*(?:,|$)/y;
const PARAMETER = /(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^,;"\s]+))/g;

/**
 * The parts of a `Server-Timing` header (W3C), in milliseconds. This service adds `start`, and how
 * many items of how many requests shared a part.
 * @param {string | null} header
 * @returns {Part[]}
 */
export function partsOf(header) {
  const parts = [];
  ENTRY.lastIndex = 0;
  for (let found = ENTRY.exec(header ?? ""); found?.[1]; found = ENTRY.exec(header)) {
    const values = {};
    for (const [, name, quoted, plain] of found[2].matchAll(PARAMETER)) values[name] = quoted?.replace(/\\(.)/g, "$1") ?? plain;
    const number = (name) => Number(values[name] ?? 0);
    parts.push({ name: found[1], start: number("start"), length: number("dur"), model: values.desc ?? "", items: number("items"), requests: number("requests") });
  }
  return parts;
}
