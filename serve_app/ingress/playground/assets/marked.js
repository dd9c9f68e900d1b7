import { h } from "./element.js";

const COLORS = 8;

/**
 * A text with its entities marked. Offsets count code points; an entity within another is left out.
 * @param {string} text
 * @param {{label: string, confidence: number, start: number, end: number}[]} entities
 * @param {string[]} labels in the order of their colours
 */
export function marked(text, entities, labels) {
  const points = Array.from(text);
  const paragraph = h("p", { class: "marked" });
  let at = 0;
  for (const entity of entities.toSorted((one, other) => one.start - other.start)) {
    if (entity.start < at) continue;
    const color = `k${labels.indexOf(entity.label) % COLORS}`;
    const percent = `${(entity.confidence * 100).toFixed(1)} %`;
    paragraph.append(
      points.slice(at, entity.start).join(""),
      h("mark", { class: color, title: percent }, points.slice(entity.start, entity.end).join(""), h("small", {}, entity.label)),
    );
    at = entity.end;
  }
  paragraph.append(points.slice(at).join(""));
  return paragraph;
}
