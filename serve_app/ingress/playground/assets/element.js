/** @typedef {Node | string | number} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an HTML element. Strings become text nodes, never HTML.
 * @param {string} tag
 * @param {Record<string, string | number | boolean>} [attributes] `true` sets an empty one, `false` none
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Make an SVG element, as {@link h} does.
 * @param {string} tag
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * The element of the page with this id.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element ${id}`);
  return found;
}

/**
 * A button that calls `action` when it is pressed.
 * @param {string} label
 * @param {() => void} action
 * @param {Record<string, string>} [attributes]
 */
export function button(label, action, attributes = {}) {
  const made = h("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", action);
  return made;
}

/**
 * Set custom properties of a style. The page's policy allows no `style` attributes.
 * @template {HTMLElement | SVGElement} E
 * @param {E} element
 * @param {Record<string, string>} properties
 * @returns {E}
 */
export function styled(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}
