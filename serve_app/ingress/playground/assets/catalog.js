import { h } from "./element.js";

/** @typedef {{name: string, family: string, tasks: string[], loaded: {replica: string, slots: number | null}[]}} Model */

/** The models of the service, and who shows them. */
export class Catalog {
  /** @param {import("./service.js").Service} service */
  constructor(service) {
    this.service = service;
    /** @type {Model[]} */
    this.models = [];
    /** @type {(() => void)[]} */
    this.listeners = [];
  }

  /** Ask for the models. Throws what the service throws. */
  async load() {
    this.models = (await this.service.json("api/v1/huggingface/models")).models;
    for (const listener of this.listeners) listener();
  }

  /**
   * The names of the models that can do a task.
   * @param {string} task
   */
  able(task) {
    return this.models.filter((model) => model.tasks.includes(task)).map((model) => model.name);
  }

  /**
   * Keep the options of `select` to the models that can do a task.
   * @param {HTMLSelectElement} select
   * @param {() => string} task
   */
  offer(select, task) {
    const fill = () => {
      const names = this.able(task());
      const before = select.value;
      select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
      select.disabled = names.length === 0;
      if (names.length === 0) select.append(h("option", { value: "" }, "no model can do this"));
      if (names.includes(before)) select.value = before;
    };
    this.listeners.push(fill);
    fill();
    return fill;
  }
}
