import { byId } from "./element.js";

/**
 * What the form of the chat says. An empty field is left out: the server's default counts.
 * @returns {{system: string, model?: string, temperature?: number, top_p?: number, max_tokens?: number, seed?: number}}
 */
export function chatSettings() {
  const settings = { system: byId("chat-system").value.trim() };
  if (byId("chat-model").value) settings.model = byId("chat-model").value;
  const fields = { temperature: "temperature", top_p: "top-p", max_tokens: "max-tokens", seed: "seed" };
  for (const [name, id] of Object.entries(fields)) {
    const value = byId(`chat-${id}`).value;
    if (value !== "") settings[name] = Number(value);
  }
  return settings;
}
