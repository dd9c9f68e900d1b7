const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const PREFIX = "prsm_huggingface_";

/** The samples of Prometheus' text format, by name and labels. */
export class Metrics {
  /** @param {string} text */
  constructor(text) {
    /** @type {{name: string, labels: Record<string, string>, value: number}[]} */
    this.samples = [];
    for (const line of text.split("\n")) {
      const found = LINE.exec(line);
      if (!found || !found[1].startsWith(PREFIX)) continue;
      const labels = {};
      for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, "$1");
      this.samples.push({ name: found[1].slice(PREFIX.length), labels, value: Number(found[3]) });
    }
  }

  /**
   * The sum of the samples of a metric that belong to a model, `undefined` if there are none.
   * @param {string} name without its prefix
   * @param {string} model
   */
  of(name, model) {
    const found = this.samples.filter((each) => each.name === name && each.labels.model_name === model);
    return found.length ? found.reduce((sum, each) => sum + each.value, 0) : undefined;
  }
}
