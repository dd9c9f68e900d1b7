import { h } from "./element.js";
import { partsOf } from "./server_timing.js";
import { table } from "./table.js";
import { track } from "./track.js";

const NAMES = {
  total: "Whole request",
  call: "Call of a replica",
  tokenize: "Tokenize",
  preprocess: "Preprocess",
  queue: "Queue",
  forward: "Forward",
  prefill: "Prefill",
  decode: "Decode and stream",
};
const COLORS = { tokenize: "k3", preprocess: "k3", queue: "k1", forward: "k2", prefill: "k2", decode: "k5" };

/**
 * Where the time of a request went, as bars and in numbers.
 * @param {string | null} header `Server-Timing`
 * @param {boolean} [open]
 */
export function timeline(header, open = true) {
  const parts = partsOf(header);
  const total = parts[0]?.length;
  if (!total) return h("span");
  const rows = parts.filter((part) => part.length || part.start).map((part) => [
    NAMES[part.name] ?? part.name,
    part.model,
    milliseconds(part.length),
    track(part.start / total, part.length / total, COLORS[part.name]),
    sharedBy(part),
  ]);
  const more = parts.find((part) => part.name === "more");
  const caption = `Timeline: ${milliseconds(total)} in the service${more ? `, with ${more.model}` : ""}`;
  return h(
    "details",
    { class: "timeline", open },
    h("summary", {}, caption),
    table(caption, ["Stage", "Model", "Time#", "When", "Shared by"], rows, "bars wide"),
  );
}

const milliseconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

/** Who shared a forward or a step, this request included. */
function sharedBy({ items, requests }) {
  if (!items) return "";
  if (!requests) return items === 1 ? "nobody else" : `${items} sequences`;
  return `${items} ${items === 1 ? "item" : "items"} of ${requests} ${requests === 1 ? "request" : "requests"}`;
}
