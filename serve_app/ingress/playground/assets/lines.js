import { byId } from "./element.js";

/**
 * The lines of a text field that are not empty. Throws if there are none, or too many to show.
 * @param {string} id
 * @param {number} limit
 * @returns {string[]}
 */
export function linesOf(id, limit) {
  const lines = byId(id).value.split("\n").filter((line) => line.trim());
  if (lines.length === 0) throw new Error("Write at least one text.");
  if (lines.length > limit) throw new Error(`This page shows ${limit} texts at most, and these are ${lines.length}.`);
  return lines;
}
