import { limitsOf, reasons } from "./binding_limit.js";
import { byId } from "./element.js";
import { liveTable } from "./live_table.js";
import { showError } from "./notice.js";
import { Metrics } from "./prometheus.js";
import { Rates } from "./rates.js";
import { Trend } from "./trend.js";

const PERIOD_MS = 2000;

/** What the cluster does now: asked every two seconds, while the panel is shown. */
export class Live {
  /**
   * @param {import("./service.js").Service} service
   * @param {import("./catalog.js").Catalog} catalog
   */
  constructor(service, catalog) {
    this.service = service;
    this.catalog = catalog;
    this.shown = false;
    this.paused = false;
    this.timer = 0;
    /** @type {{at: number, metrics: Metrics} | null} */
    this.before = null;
    this.trend = new Trend();
    const pause = byId("live-pause");
    pause.addEventListener("click", () => {
      this.paused = !this.paused;
      pause.setAttribute("aria-pressed", String(this.paused));
      this.#next(0);
    });
    document.addEventListener("visibilitychange", () => this.#next(0));
  }

  /** @param {boolean} shown */
  show(shown) {
    this.shown = shown;
    this.#next(0);
  }

  #next(delay) {
    clearTimeout(this.timer);
    if (this.shown && !this.paused && !document.hidden) this.timer = setTimeout(() => this.#ask(), delay);
  }

  async #ask() {
    try {
      const [health, performance, metrics] = await Promise.all([
        this.#health(),
        this.service.json("api/v1/huggingface/performance"),
        this.service.send("metrics").then(async (answer) => new Metrics(await answer.text())),
        this.catalog.load(),
      ]);
      byId("live-notice").replaceChildren();
      this.#draw(health, performance, metrics);
    } catch (error) {
      showError(byId("live-notice"), error);
    }
    this.#next(PERIOD_MS);
  }

  async #health() {
    try {
      return await this.service.json("health");
    } catch (error) {
      return { status: error.status === 503 ? "unhealthy" : error.message, deployments: {} };
    }
  }

  #draw(health, performance, metrics) {
    const at = Date.now();
    const rates = new Rates(this.before?.metrics ?? null, metrics, this.before ? (at - this.before.at) / 1000 : 1);
    this.before = { at, metrics };
    const limits = performance.binding_limits ?? {};
    const models = this.catalog.models.map((model) => ({
      ...loadOf(model, metrics, rates, health.deployments),
      binding: limitsOf(limits, model.family),
    }));
    const rate = performance.success_rate === undefined ? "" : `, ${performance.success_rate.toFixed(0)} % of the last requests succeeded`;
    byId("live-state").textContent = `${health.status}${rate}, at ${new Date(at).toLocaleTimeString()}`;
    const focused = document.activeElement?.closest("#live-result") !== null;
    this.trend.add(sum(models, "tokensIn"), sum(models, "tokensOut"));
    byId("live-result").replaceChildren(this.trend.draw(), liveTable(models), reasons(limits));
    if (focused) byId("live-result").querySelector("[tabindex]").focus();
  }
}

/** The sum of a figure of all models, as far as it is known. */
const sum = (models, figure) => models.reduce((total, load) => total + (load[figure] ?? 0), 0);

/** A model's figures: gauges as they are, counters as rates since the scrape before. */
function loadOf(model, metrics, rates, deployments) {
  const now = (name) => metrics.of(name, model.name);
  return {
    name: model.name,
    state: stateOf(model.family, deployments),
    replicas: model.loaded.length,
    waiting: now("queue_depth"),
    slots: now("slots"),
    used: now("slots_in_use"),
    kv: now("kv_cache_usage_ratio"),
    requests: rates.of("requests_total", model.name),
    tokensIn: rates.of("tokens_in_total", model.name),
    tokensOut: rates.of("tokens_out_total", model.name),
    batch: rates.mean("batch_size", model.name),
  };
}

/** Serve's word for the family's deployment, whose name is the family's. */
function stateOf(family, deployments) {
  const found = Object.entries(deployments).find(([name]) => name.toLowerCase() === family.toLowerCase());
  return found ? found[1].toLowerCase() : "";
}
