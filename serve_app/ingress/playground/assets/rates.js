/** What counters grew by between two scrapes, a second. */
export class Rates {
  /**
   * @param {import("./prometheus.js").Metrics | null} before
   * @param {import("./prometheus.js").Metrics} now
   * @param {number} seconds between them
   */
  constructor(before, now, seconds) {
    this.before = before;
    this.now = now;
    this.seconds = seconds;
  }

  /**
   * `undefined` where it is not known yet. A counter that began anew counts from zero.
   * @param {string} name
   * @param {string} model
   */
  of(name, model) {
    const grown = this.growth(name, model);
    return grown === undefined ? undefined : grown / this.seconds;
  }

  /**
   * The mean of a histogram's observations between the scrapes.
   * @param {string} name without `_sum` and `_count`
   * @param {string} model
   */
  mean(name, model) {
    const count = this.growth(`${name}_count`, model);
    return count ? this.growth(`${name}_sum`, model) / count : undefined;
  }

  growth(name, model) {
    const now = this.now.of(name, model) ?? 0;
    if (this.before === null) return undefined;
    const before = this.before.of(name, model) ?? 0;
    return now < before ? now : now - before;
  }
}
