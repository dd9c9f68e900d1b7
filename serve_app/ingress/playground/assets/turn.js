import { h } from "./element.js";
import { timeline } from "./timeline.js";

const TIMELINE = "timeline ";
const NAMES = { user: "You", assistant: "Model" };

/** One message of a chat on the page. An answer grows, and has figures at its end. */
export class Turn {
  /**
   * @param {HTMLElement} log
   * @param {"user" | "assistant"} role
   * @param {string} [text]
   */
  constructor(log, role, text = "") {
    this.text = text;
    this.reason = "";
    this.requestId = "";
    this.tokens = 0;
    this.began = performance.now();
    this.first = 0;
    this.last = 0;
    this.said = h("div", { class: "said" }, text);
    this.stats = h("div", { class: "stats" });
    this.element = h("article", { class: `turn ${role}` }, h("div", { class: "who" }, NAMES[role]), this.said, this.stats);
    log.append(this.element);
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} text */
  add(text) {
    this.last = performance.now();
    this.first ||= this.last;
    this.text += text;
    this.said.append(text);
  }

  /**
   * The answer is complete, or broken off for `reason`.
   * @param {string} reason
   * @param {number} [tokens]
   */
  end(reason, tokens = 0) {
    this.reason = reason || this.reason;
    this.tokens = tokens;
    this.stats.textContent = this.summary();
  }

  /**
   * Show where the time went, if that is what a comment of the stream says.
   * @param {string} comment
   */
  timeline(comment) {
    if (comment.startsWith(TIMELINE)) this.element.append(timeline(comment.slice(TIMELINE.length), false));
  }

  remove() {
    this.element.remove();
  }

  /** In words: how many tokens, how fast, and why it ended. */
  summary() {
    const parts = [];
    if (this.tokens) parts.push(`${this.tokens} tokens`);
    if (this.first) parts.push(`first after ${((this.first - this.began) / 1000).toFixed(2)} s`);
    const seconds = (this.last - this.first) / 1000;
    if (this.tokens > 1 && seconds > 0) parts.push(`${((this.tokens - 1) / seconds).toFixed(1)} tokens/s`);
    if (this.reason) parts.push(`ended: ${this.reason}`);
    return parts.join(", ");
  }
}
