import { button, h } from "./element.js";
import { StepInput } from "./step_input.js";

/** One step in the making: its name, and a field for each input of its task. */
export class GraphStep {
  /**
   * @param {import("./graph_tasks.js").Task} task
   * @param {string} id
   * @param {Record<string, unknown>} inputs those that have a value at first
   * @param {{sources: (step: GraphStep) => string[], changed: () => void, remove: (step: GraphStep) => void}} graph
   */
  constructor(task, id, inputs, graph) {
    this.task = task;
    this.graph = graph;
    this.name = h("input", { id: `step-${id}-id`, value: id, required: true, pattern: "[A-Za-z0-9_\\-]+", autocomplete: "off" });
    this.name.addEventListener("change", () => graph.changed());
    this.inputs = task.inputs.map((input) => new StepInput(id, input, inputs[input.name]));
    const shown = this.inputs.filter((input) => input.needed || input.filled);
    const further = this.inputs.filter((input) => !shown.includes(input));
    this.element = h(
      "li",
      { class: "step", "aria-label": `Step ${id}, ${task.name}` },
      h(
        "div",
        { class: "actions" },
        h("label", { for: `step-${id}-id` }, "Step"),
        this.name,
        h("strong", {}, `${task.name}: ${task.title}`),
        button("Remove", () => graph.remove(this), { "aria-label": `Remove step ${id}` }),
      ),
      ...shown.map((input) => input.element),
    );
    if (further.length) {
      const more = h("summary", {}, `Further inputs (${further.length})`);
      this.element.append(h("details", {}, more, ...further.map((input) => input.element)));
    }
  }

  get id() {
    return this.name.value;
  }

  focus() {
    (this.inputs[0]?.field ?? this.name).focus();
  }

  /** Offer each input what it may refer to. */
  connect() {
    const sources = this.graph.sources(this);
    for (const input of this.inputs) input.offer(sources);
  }

  /** References to the fields of this step's answer. */
  answers() {
    return this.task.answers.map((field) => `$${this.id}.${field}`);
  }

  /** The step as the request has it. */
  value() {
    const filled = this.inputs.filter((input) => input.filled);
    return { id: this.id, task: this.task.name, inputs: Object.fromEntries(filled.map((input) => [input.name, input.value()])) };
  }
}
