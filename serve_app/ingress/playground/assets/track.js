import { h, styled } from "./element.js";

/**
 * A bar on a track: when something took place within a whole.
 * @param {number} from as a part of the whole
 * @param {number} length
 * @param {string} [kind] a class of the bar
 */
export function track(from, length, kind = "") {
  const bar = styled(h("span", { class: kind || false }), { "--from": `${from * 100}%`, "--length": `${length * 100}%` });
  return h("div", { class: "track", "aria-hidden": "true" }, bar);
}
