import { h, styled } from "./element.js";

/**
 * A share from 0 to 1, as a bar and in per cent.
 * @param {number} share
 */
export function gauge(share) {
  const bar = h("span", { class: "gauge", "aria-hidden": "true" }, styled(h("span"), { "--share": `${share * 100}%` }));
  return h("span", {}, bar, ` ${(share * 100).toFixed(1)} %`);
}
