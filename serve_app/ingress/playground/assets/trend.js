import { h, svg } from "./element.js";

const [WIDTH, HEIGHT, POINTS] = [640, 80, 90];

/** Tokens per second of the whole service over the last minutes. */
export class Trend {
  constructor() {
    /** @type {number[]} */
    this.read = [];
    /** @type {number[]} */
    this.written = [];
  }

  /**
   * @param {number} read tokens a second
   * @param {number} written
   */
  add(read, written) {
    this.read = [...this.read, read].slice(-POINTS);
    this.written = [...this.written, written].slice(-POINTS);
  }

  /** A drawing of what was added, with its last values in words. */
  draw() {
    const highest = Math.max(1, ...this.read, ...this.written);
    const words = `Tokens a second: ${this.read.at(-1).toFixed(0)} read, ${this.written.at(-1).toFixed(0)} written; the highest shown is ${highest.toFixed(0)}`;
    return h(
      "figure",
      { class: "trend" },
      svg(
        "svg",
        { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
        line(this.read, highest, "k0"),
        line(this.written, highest, "k1"),
      ),
      h("figcaption", { class: "hint" }, swatch("k0"), "read ", swatch("k1"), `written. ${words}`),
    );
  }
}

function line(values, highest, color) {
  const step = WIDTH / (POINTS - 1);
  const from = WIDTH - (values.length - 1) * step;
  const points = values.map((value, i) => `${(from + i * step).toFixed(1)},${(HEIGHT - 2 - (value / highest) * (HEIGHT - 6)).toFixed(1)}`);
  return svg("polyline", { class: `line ${color}`, points: points.join(" ") });
}

const swatch = (color) => h("span", { class: `swatch ${color}`, "aria-hidden": "true" });
