import { h } from "./element.js";

/**
 * A table with a caption, in a box of its own that scrolls sideways.
 * @param {string} caption
 * @param {string[]} heads of columns; one that ends with "#" has numbers
 * @param {(Node | string | number)[][]} rows the first cell is the row's head
 * @param {string} [kind] a class of the table
 */
export function table(caption, heads, rows, kind = "") {
  const numeric = heads.map((head) => head.endsWith("#"));
  const names = heads.map((head) => head.replace(/#$/, ""));
  const head = h("tr", {}, ...names.map((name, i) => h("th", { scope: "col", class: numberClass(numeric[i]) }, name)));
  const body = rows.map(([first, ...rest]) =>
    h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell, i) => asCell(cell, numeric[i + 1]))),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: kind }, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...body)),
  );
}

function asCell(cell, numeric) {
  return cell instanceof HTMLTableCellElement ? cell : h("td", { class: numberClass(numeric) }, cell);
}

const numberClass = (numeric) => (numeric ? "number" : false);
