import { byId } from "./element.js";
import { chatSettings } from "./chat_settings.js";
import { eventsOf } from "./event_stream.js";
import { showError } from "./notice.js";
import { ServiceError, TIMED } from "./service.js";
import { Turn } from "./turn.js";

/** The chat: messages, a stream of the answer, and a button that stops it. */
export class Chat {
  /**
   * @param {import("./service.js").Service} service
   * @param {import("./catalog.js").Catalog} catalog
   * @param {import("./announcer.js").Announcer} announcer
   */
  constructor(service, catalog, announcer) {
    this.service = service;
    this.announcer = announcer;
    /** @type {{role: string, content: string}[]} */
    this.messages = [];
    /** @type {AbortController | null} */
    this.running = null;
    [this.log, this.notice, this.prompt] = ["chat-log", "chat-notice", "chat-prompt"].map(byId);
    [this.sendButton, this.stopButton] = ["chat-send", "chat-stop"].map(byId);
    catalog.offer(byId("chat-model"), () => "chat");
    this.#listen();
  }

  #listen() {
    byId("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    byId("chat-settings").addEventListener("submit", (event) => event.preventDefault());
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    this.stopButton.addEventListener("click", () => this.running?.abort());
    byId("chat-clear").addEventListener("click", () => this.#clear());
  }

  #clear() {
    this.running?.abort();
    this.#show(null);
    this.messages = [];
    this.log.replaceChildren();
    this.notice.replaceChildren();
    this.announcer.say("New chat");
    this.prompt.focus();
  }

  async #send() {
    const text = this.prompt.value.trim();
    if (this.running || !text) return;
    this.prompt.value = "";
    this.notice.replaceChildren();
    const question = { role: "user", content: text };
    const asked = new Turn(this.log, "user", text);
    const answer = new Turn(this.log, "assistant");
    const running = new AbortController();
    this.#show(running);
    try {
      await this.#stream([...this.messages, question], answer, running.signal);
    } catch (error) {
      if (error.name !== "AbortError") showError(this.notice, error);
      answer.end(error.name === "AbortError" ? "stopped" : "failed");
    }
    if (this.running !== running) return; // another chat has begun
    this.#show(null);
    if (answer.text) this.messages.push(question, { role: "assistant", content: answer.text });
    else {
      asked.remove();
      answer.remove();
      this.prompt.value ||= text;
    }
    this.announcer.end(answer.summary());
  }

  /** Show the one of the two buttons that can be pressed, and keep the focus where it was. */
  #show(running) {
    const focused = document.activeElement;
    this.running = running;
    this.sendButton.hidden = running !== null;
    this.stopButton.hidden = running === null;
    if (focused === this.sendButton) this.stopButton.focus();
    if (focused === this.stopButton) this.prompt.focus();
  }

  async #stream(messages, answer, signal) {
    const { system, ...settings } = chatSettings();
    const json = {
      ...settings,
      messages: system ? [{ role: "system", content: system }, ...messages] : messages,
      stream: true,
      stream_options: { include_usage: true },
    };
    this.announcer.say("The model is answering.");
    const response = await this.service.send("v1/chat/completions", { json, signal, headers: TIMED });
    answer.requestId = response.headers.get("X-Request-ID") ?? "";
    let complete = false;
    for await (const event of eventsOf(response)) {
      if ("comment" in event) answer.timeline(event.comment);
      else if (event.data === "[DONE]") complete = true;
      else this.#take(JSON.parse(event.data), answer);
    }
    if (complete) return;
    throw new ServiceError("The stream ended early.", { requestId: answer.requestId });
  }

  #take(chunk, answer) {
    if (chunk.error) throw new ServiceError(chunk.error.message, { kind: chunk.error.type });
    if (chunk.usage) answer.end("", chunk.usage.completion_tokens);
    const choice = chunk.choices?.[0];
    if (!choice) return;
    if (choice.delta.content) {
      answer.add(choice.delta.content);
      this.announcer.add(choice.delta.content);
    }
    if (choice.finish_reason) answer.reason = choice.finish_reason;
  }
}
