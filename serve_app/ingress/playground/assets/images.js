import { boxes } from "./boxes.js";
import { byId, h } from "./element.js";
import { gauge } from "./gauge.js";
import { IMAGE_TASKS } from "./image_tasks.js";
import { ImageSource } from "./image_source.js";
import { busy } from "./notice.js";
import { table } from "./table.js";
import { timeline } from "./timeline.js";

/** An image, and what a model finds in it. */
export class Images {
  /**
   * @param {import("./service.js").Service} service
   * @param {import("./catalog.js").Catalog} catalog
   * @param {import("./announcer.js").Announcer} announcer
   */
  constructor(service, catalog, announcer) {
    this.service = service;
    this.announcer = announcer;
    this.task = byId("images-task");
    for (const { name, title } of IMAGE_TASKS) this.task.append(h("option", { value: name }, title));
    this.source = new ImageSource(announcer, () => this.#draw([]));
    const offer = catalog.offer(byId("images-model"), () => this.#chosen().name);
    this.task.addEventListener("change", () => {
      offer();
      this.#fields();
    });
    this.#fields();
    byId("images-form").addEventListener("submit", (event) => {
      event.preventDefault();
      busy(event.target, byId("images-notice"), () => this.#run());
    });
  }

  #chosen() {
    return IMAGE_TASKS.find((task) => task.name === this.task.value);
  }

  #fields() {
    const fields = this.#chosen().fields.flatMap(({ name, label, ...attributes }) => [
      h("label", { for: `images-${name}` }, label),
      h("input", { id: `images-${name}`, name, ...attributes }),
    ]);
    byId("images-fields").replaceChildren(...fields);
  }

  async #run() {
    const task = this.#chosen();
    const form = new FormData();
    form.append("image", this.source.file());
    if (byId("images-model").value) form.append("model_name", byId("images-model").value);
    for (const { name } of task.fields) {
      if (byId(`images-${name}`).value) form.append(name, byId(`images-${name}`).value);
    }
    const { body: answer, timing } = await this.service.timed(task.path, { form });
    this.#draw(answer.detections ?? [], resultOf(answer), timeline(timing));
    this.announcer.say(wordsOf(answer));
  }

  #draw(found, ...results) {
    byId("images-view").replaceChildren(boxes(this.source.picture(), found));
    byId("images-result").replaceChildren(...results);
  }
}

function resultOf(answer) {
  if (answer.detections) {
    const rows = answer.detections.map(({ label, confidence, box }, i) => [
      i + 1, label, gauge(confidence), [box.xmin, box.ymin, box.xmax, box.ymax].map(Math.round).join(", "),
    ]);
    return table(`${rows.length} found by ${answer.model}`, ["Box", "Label", "Confidence", "Pixels (left, top, right, bottom)"], rows);
  }
  if (answer.classifications) {
    const rows = answer.classifications.map(({ label, confidence }) => [label, gauge(confidence)]);
    return table(`Labels by ${answer.model}`, ["Label", "Confidence"], rows);
  }
  const sure = answer.confidence === undefined ? [] : [h("p", {}, gauge(answer.confidence))];
  return h("div", {}, h("h3", {}, `By ${answer.model}`), h("p", { class: "answer" }, answer.caption ?? answer.answer), ...sure);
}

function wordsOf(answer) {
  if (answer.detections) return `Found: ${answer.detections.map((each) => each.label).join(", ") || "nothing"}.`;
  if (answer.classifications) return `Best label: ${answer.classifications[0]?.label ?? "none"}.`;
  return answer.caption ?? answer.answer;
}
