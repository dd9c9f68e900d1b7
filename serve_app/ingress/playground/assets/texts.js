import { byId, h } from "./element.js";
import { gauge } from "./gauge.js";
import { linesOf } from "./lines.js";
import { marked } from "./marked.js";
import { busy } from "./notice.js";
import { table } from "./table.js";
import { timeline } from "./timeline.js";

const MAX_TEXTS = 64;

/** What texts say: their mood, how labels fit them, and the names in them. */
export class Texts {
  /**
   * @param {import("./service.js").Service} service
   * @param {import("./announcer.js").Announcer} announcer
   */
  constructor(service, announcer) {
    this.service = service;
    this.announcer = announcer;
    const [form, notice] = [byId("texts-form"), byId("texts-notice")];
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const entities = event.submitter?.value === "entities";
      busy(form, notice, () => (entities ? this.#entities() : this.#sentiment()));
    });
  }

  async #sentiment() {
    const texts = linesOf("texts-input", MAX_TEXTS);
    const labels = byId("texts-labels").value.split(",").map((label) => label.trim()).filter(Boolean);
    const json = { texts, ...(labels.length && { labels }) };
    const { body: items, timing } = await this.service.timed("api/v1/huggingface/classify", { json });
    const rows = items.flatMap((item, i) => rowsOf(item, texts[i]));
    const caption = labels.length ? "How well labels fit" : "Sentiment";
    const shown = table(caption, ["Text", "Label", "Confidence"], rows, "wide");
    this.#show(shown, timing, `${caption} of ${texts.length} texts is shown.`);
  }

  async #entities() {
    const texts = linesOf("texts-input", MAX_TEXTS);
    const { body: items, timing } = await this.service.timed("api/v1/huggingface/entities", { json: { texts } });
    const found = items.flatMap((item) => item.entities ?? []);
    const labels = [...new Set(found.map((entity) => entity.label))];
    const parts = items.map((item, i) => (item.error ? problem(item, texts[i]) : marked(item.text, item.entities, labels)));
    this.#show(h("div", {}, h("h3", {}, "Entities"), ...parts), timing, `${found.length} entities are marked.`);
  }

  #show(element, timing, words) {
    byId("texts-result").replaceChildren(element, timeline(timing));
    this.announcer.say(words);
  }
}

function rowsOf(item, text) {
  if (item.error) return [[text, "error", item.error.message]];
  const scores = item.predictions ?? [{ label: item.sentiment, score: item.confidence }];
  return scores.map(({ label, score }, i) => [i ? "" : text, label, gauge(score)]);
}

const problem = (item, text) => h("p", {}, `${text} (${item.error.message})`);
