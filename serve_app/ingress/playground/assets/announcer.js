const PAUSE_MS = 2500;
const SENTENCE = /^[\s\S]*[.!?:;\n](?=\s|$)/;

/** Says to screen readers what is being written: whole sentences, a few seconds apart. */
export class Announcer {
  /** @param {HTMLElement} place with `aria-live="polite"` */
  constructor(place) {
    this.place = place;
    this.waiting = "";
    this.timer = 0;
  }

  /**
   * Say this instead of what waits.
   * @param {string} text
   */
  say(text) {
    clearTimeout(this.timer);
    this.timer = 0;
    this.waiting = "";
    this.place.textContent = text;
  }

  /**
   * Add to what is to be said.
   * @param {string} text
   */
  add(text) {
    this.waiting += text;
    this.timer ||= setTimeout(() => this.#flush(), PAUSE_MS);
  }

  /**
   * Say what still waits, and `text` behind it.
   * @param {string} text
   */
  end(text) {
    this.say(`${this.waiting} ${text}`.trim());
  }

  #flush() {
    this.timer = 0;
    const sentences = SENTENCE.exec(this.waiting)?.[0] ?? "";
    this.waiting = this.waiting.slice(sentences.length);
    if (sentences) this.place.textContent = sentences;
    if (this.waiting) this.timer = setTimeout(() => this.#flush(), PAUSE_MS);
  }
}
