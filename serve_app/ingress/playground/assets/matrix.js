import { h, styled } from "./element.js";
import { table } from "./table.js";

const STRONGEST = 45; // per cent of colour: the number in the cell stays readable

/**
 * The similarities of all pairs of texts, as a table whose cells are coloured.
 * @param {string[]} texts
 * @param {number[][]} vectors of length 1
 * @param {string} model
 */
export function matrixOf(texts, vectors, model) {
  const rows = texts.map((text, row) => [
    `${row + 1}. ${text}`,
    ...vectors.map((vector) => cell(dot(vectors[row], vector))),
  ]);
  const caption = `Cosine similarity by ${model}: 1 means the same direction, 0 unrelated`;
  return table(caption, ["Text", ...texts.map((_, i) => `${i + 1}#`)], rows, "matrix");
}

function cell(similarity) {
  const share = Math.max(0, Math.min(1, similarity)) * STRONGEST;
  return styled(h("td", {}, rounded(similarity)), { "--share": `${share}%` });
}

/** Two digits, and no minus before zero. */
function rounded(value) {
  return value.toFixed(2).replace(/^-0\.00$/, "0.00").replace("-", "−");
}

function dot(left, right) {
  let sum = 0;
  for (let i = 0; i < left.length; i += 1) sum += left[i] * right[i];
  return sum;
}
