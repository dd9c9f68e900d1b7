import { byId } from "./element.js";
import { linesOf } from "./lines.js";
import { matrixOf } from "./matrix.js";
import { busy } from "./notice.js";
import { Projection } from "./projection.js";
import { scatter } from "./scatter.js";
import { timeline } from "./timeline.js";

const MAX_TEXTS = 64;

/** Texts as vectors: how similar each pair is, and which lie together. */
export class Vectors {
  /**
   * @param {import("./service.js").Service} service
   * @param {import("./catalog.js").Catalog} catalog
   * @param {import("./announcer.js").Announcer} announcer
   */
  constructor(service, catalog, announcer) {
    this.service = service;
    this.announcer = announcer;
    catalog.offer(byId("vectors-model"), () => "embed");
    const [form, notice] = [byId("vectors-form"), byId("vectors-notice")];
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const draw = event.submitter?.value === "clusters" ? () => this.#clusters() : () => this.#matrix();
      busy(form, notice, draw);
    });
  }

  #request() {
    const model = byId("vectors-model").value;
    return { texts: linesOf("vectors-texts", MAX_TEXTS), ...(model && { model_name: model }) };
  }

  async #matrix() {
    const json = this.#request();
    const { body, timing } = await this.service.timed("api/v1/huggingface/embeddings", { json });
    byId("vectors-result").replaceChildren(matrixOf(json.texts, body.embeddings, body.model), timeline(timing));
    this.announcer.say(`Similarities of ${json.texts.length} texts are shown.`);
  }

  async #clusters() {
    const json = this.#request();
    const wanted = { ...json, n_clusters: Number(byId("vectors-clusters").value) };
    const [{ embeddings }, { body: found, timing }] = await Promise.all([
      this.service.json("api/v1/huggingface/embeddings", { json }),
      this.service.timed("api/v1/huggingface/cluster", { json: wanted }),
    ]);
    const projection = new Projection(embeddings);
    const labels = [];
    for (const [label, members] of Object.entries(found.clusters)) {
      for (const { index } of members) labels[index] = Number(label);
    }
    const points = json.texts.map((text, i) => ({ text, label: labels[i], at: projection.of(embeddings[i]) }));
    const centers = found.cluster_centers.map((center) => projection.of(center));
    byId("vectors-result").replaceChildren(scatter(points, centers, found.model), timeline(timing));
    this.announcer.say(`${json.texts.length} texts in ${found.n_clusters} clusters are shown.`);
  }
}
