import { h } from "./element.js";
import { shortened } from "./shortened.js";
import { table } from "./table.js";
import { track } from "./track.js";

/**
 * How a graph went: the status and time of each step, their answers, and the JSON that was sent.
 * @param {object} request
 * @param {{steps: any[], outputs: Record<string, unknown>, execution_time: number, request_id: string}} answer
 * @param {HTMLElement} timing
 */
export function graphResult(request, answer, timing) {
  const rows = answer.steps.map((step) => [
    step.id,
    h("span", { class: `status-${step.status}` }, words(step)),
    step.model ?? "",
    `${(step.execution_time * 1000).toFixed(0)} ms`,
    track((step.started_at ?? 0) / answer.execution_time, step.execution_time / answer.execution_time),
  ]);
  const caption = `${answer.steps.length} steps in ${(answer.execution_time * 1000).toFixed(0)} ms, request ${answer.request_id}`;
  return h(
    "div",
    {},
    table(caption, ["Step", "Status", "Model", "Time#", "When"], rows, "bars wide"),
    timing,
    h("h3", {}, "Answers"),
    ...Object.entries(answer.outputs).map(([id, output]) => block(id, output, true)),
    h("h3", {}, "Request"),
    block("The JSON that was sent to POST /api/v1/huggingface/graph", request),
  );
}

function words({ status, error, cause }) {
  if (cause) return `${status}, since ${cause} failed`;
  return error ? `${status}: ${error.message}` : status;
}

function block(title, value, open = false) {
  return h("details", { open }, h("summary", {}, title), h("pre", { tabindex: "0" }, JSON.stringify(value, shortened, 2)));
}
