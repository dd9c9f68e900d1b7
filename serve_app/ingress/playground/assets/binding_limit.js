const FULL = 0.9;

/**
 * The limit that binds most replicas of a family, if the service measures that.
 * @param {{labels: Record<string, string>, value: number}[]} samples of its metric `binding_limit`
 * @returns {string | undefined} empty where nothing binds, `undefined` where it is not measured
 */
export function measuredLimit(samples) {
  if (samples.length === 0) return undefined;
  const most = samples.reduce((one, other) => (other.value > one.value ? other : one));
  return most.value > 0 ? most.labels.limit : "";
}

/**
 * What keeps a model from answering more at this moment, and the setting that moves it.
 * @param {{waiting?: number, slots?: number, used?: number, kv?: number, fill?: number}} load
 * @returns {string}
 */
export function bindingLimit({ waiting = 0, slots, used = 0, kv = 0, fill }) {
  if (slots !== undefined) {
    if (kv >= FULL && waiting > 0) return "KV cache (kv_cache_gb)";
    if (used >= slots && slots > 0) return waiting > 0 ? "slots (slots)" : "all slots in use";
    return waiting > 0 ? "prefill of prompts" : "";
  }
  if (waiting === 0) return "";
  if (fill !== undefined && fill >= FULL) return "size of batches (max_batch_size, max_batch_tokens, max_forward_ms)";
  return "forward time (replicas, threads)";
}
