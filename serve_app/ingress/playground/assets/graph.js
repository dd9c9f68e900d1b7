import { byId, h } from "./element.js";
import { GRAPH_EXAMPLES } from "./graph_examples.js";
import { GraphInput } from "./graph_input.js";
import { graphResult } from "./graph_result.js";
import { GraphStep } from "./graph_step.js";
import { GraphTasks } from "./graph_tasks.js";
import { busy, showError } from "./notice.js";
import { timeline } from "./timeline.js";

/** A request's own graph, put together from steps. */
export class Graph {
  /**
   * @param {import("./service.js").Service} service
   * @param {import("./announcer.js").Announcer} announcer
   */
  constructor(service, announcer) {
    this.service = service;
    this.announcer = announcer;
    this.input = new GraphInput();
    this.tasks = new GraphTasks(service);
    /** @type {GraphStep[]} */
    this.steps = [];
    [this.list, this.notice, this.choice, this.example] = ["graph-steps", "graph-notice", "graph-task", "graph-example"].map(byId);
    byId("graph-add").addEventListener("click", () => this.#add(this.choice.value)?.focus());
    byId("graph-load").addEventListener("click", () => this.#load(this.offered[Number(this.example.value)]));
    byId("graph-form").addEventListener("submit", (event) => {
      event.preventDefault();
      busy(event.target, this.notice, () => this.#run());
    });
  }

  /** Ask for the tasks, the first time that the panel is shown. */
  async show() {
    if (this.tasks.known.length) return;
    try {
      await this.tasks.load();
    } catch (error) {
      showError(this.notice, error);
      return;
    }
    this.notice.replaceChildren();
    this.choice.replaceChildren(...this.tasks.known.map((task) => h("option", { value: task.name }, `${task.name}: ${task.title}`)));
    const names = new Set(this.tasks.known.map((task) => task.name));
    this.offered = GRAPH_EXAMPLES.filter((example) => example.steps.every((step) => names.has(step.task)));
    this.example.replaceChildren(...this.offered.map((example, i) => h("option", { value: i }, example.title)));
    if (this.offered.length) this.#load(this.offered[0]);
  }

  #load(example) {
    if (!example) return;
    for (const step of this.steps) step.element.remove();
    this.steps = [];
    this.input.set(example.input);
    for (const { id, task, inputs } of example.steps) this.#add(task, id, inputs);
    byId("graph-result").replaceChildren();
    this.announcer.say(`${example.title}: ${example.steps.length} steps`);
  }

  #add(name, id = "", inputs = {}) {
    const task = this.tasks.named(name);
    if (!task) return null;
    const step = new GraphStep(task, id || this.#freeId(name), inputs, {
      sources: (asking) => this.#sources(asking),
      changed: () => this.#connect(),
      remove: (gone) => this.#remove(gone),
    });
    this.steps.push(step);
    this.list.append(step.element);
    this.#connect();
    return step;
  }

  #remove(step) {
    this.steps = this.steps.filter((each) => each !== step);
    step.element.remove();
    this.#connect();
    byId("graph-add").focus();
  }

  #freeId(name) {
    const taken = new Set(this.steps.map((step) => step.id));
    if (!taken.has(name)) return name;
    let number = 2;
    while (taken.has(`${name}_${number}`)) number += 1;
    return `${name}_${number}`;
  }

  #connect() {
    for (const step of this.steps) step.connect();
  }

  /** What an input of a step may refer to: the request's input, and answers of the steps above it. */
  #sources(asking) {
    const above = this.steps.slice(0, this.steps.indexOf(asking));
    return ["$input.text", "$input.image", ...above.flatMap((step) => step.answers())];
  }

  async #run() {
    const json = { input: await this.input.value(), steps: this.steps.map((step) => step.value()) };
    json.outputs = json.steps.map((step) => step.id);
    const used = JSON.stringify(json.steps);
    for (const name of ["text", "image"]) if (!used.includes(`input.${name}`)) delete json.input[name];
    const { body: answer, timing } = await this.service.timed("api/v1/huggingface/graph", { json });
    byId("graph-result").replaceChildren(graphResult(json, answer, timeline(timing, false)));
    const count = (status) => answer.steps.filter((step) => step.status === status).length;
    this.announcer.say(`${count("ok")} steps ok, ${count("failed")} failed, ${count("skipped")} skipped.`);
  }
}
