import { table } from "./table.js";

const HEADS = ["Model", "State", "Replicas#", "Waiting#", "Slots#", "KV cache#", "Batch#", "Requests/s#", "Tokens in/s#", "Tokens out/s#", "What binds"];

/**
 * The figures of all models.
 * @param {any[]} models
 */
export function liveTable(models) {
  const rows = models.map((load) => [
    load.name,
    load.replicas ? load.state : "not loaded",
    load.replicas,
    load.waiting ?? "–",
    load.slots === undefined ? "–" : `${load.used ?? 0} of ${load.slots}`,
    load.kv === undefined ? "–" : `${(load.kv * 100).toFixed(0)} %`,
    number(load.batch, 1),
    number(load.requests, 1),
    number(load.tokensIn, 0),
    number(load.tokensOut, 0),
    load.binding || (load.replicas ? "nothing" : "–"),
  ]);
  return table("Per model; rates are of the last two seconds", HEADS, rows, "wide");
}

const number = (value, digits) => (value === undefined ? "–" : value.toFixed(digits));
