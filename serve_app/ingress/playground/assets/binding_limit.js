const FULL = 0.9;

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
