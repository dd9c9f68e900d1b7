import { h } from "./element.js";

/** @typedef {Record<string, {limits: {limit: string, replicas: number, why: string, setting: string}[]}>} BindingLimits */

/**
 * The names of the limits that bind a family, the first to be turned first.
 * @param {BindingLimits} families
 * @param {string} family
 */
export function limitsOf(families, family) {
  return (families[family]?.limits ?? []).map((each) => each.limit).join(", ");
}

/**
 * Why each family that a limit binds is not faster, and which setting changes that.
 * @param {BindingLimits} families
 */
export function reasons(families) {
  const bound = Object.entries(families).flatMap(([family, { limits }]) => limits.map((limit) => ({ family, ...limit })));
  if (bound.length === 0) return h("p", { class: "hint" }, "No limit binds a family at this moment.");
  const items = bound.map(({ family, limit, why, setting }) => h("li", {}, h("strong", {}, `${family}, ${limit}: `), `${why}. To turn: ${setting}.`));
  return h("ul", {}, ...items);
}
