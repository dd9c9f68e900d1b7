import { h } from "./element.js";

/** One input of a step: a value that is written, or a reference that is chosen. */
export class StepInput {
  /**
   * @param {string} step
   * @param {import("./graph_tasks.js").TaskInput} input
   * @param {unknown} value at first, if any
   */
  constructor(step, input, value) {
    this.name = input.name;
    this.needed = input.needed;
    this.types = typesOf(input.schema);
    const id = `step-${step}-${input.name}`;
    const [about, initial] = [input.schema.description ?? "", input.schema.default];
    const hint = about || (initial === undefined || initial === null ? "" : `default: ${initial}`);
    this.field = h("input", { id, autocomplete: "off", placeholder: hint });
    if (value !== undefined) this.field.value = typeof value === "string" ? value : JSON.stringify(value);
    this.choice = h("select", { "aria-label": `Connect ${input.name} of step ${step}` });
    this.choice.addEventListener("change", () => (this.field.value = this.choice.value || this.field.value));
    this.field.addEventListener("input", () => (this.choice.value = ""));
    const label = h("label", { for: id, class: input.needed ? "needed" : false }, input.name);
    this.element = h("div", { class: "row" }, label, this.field, this.choice);
  }

  get filled() {
    return this.field.value.trim() !== "";
  }

  /** @param {string[]} sources references */
  offer(sources) {
    const options = sources.map((source) => h("option", { value: source }, source));
    this.choice.replaceChildren(h("option", { value: "" }, "connect to…"), ...options);
    this.choice.value = sources.includes(this.field.value) ? this.field.value : "";
  }

  /** The value in the type that the task takes. What is no such value goes as text: the service says so. */
  value() {
    const text = this.field.value;
    if (text.startsWith("$") || this.#isText(text)) return text;
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }

  #isText(text) {
    const list = /^\s*[[{]/.test(text) && (this.types.has("array") || this.types.has("object"));
    return this.types.has("string") && !list;
  }
}

/** The JSON types that a schema allows. */
function typesOf(schema) {
  const parts = schema.anyOf ?? schema.oneOf ?? [schema];
  return new Set(parts.flatMap((part) => (part.anyOf ? [...typesOf(part)] : [part.type ?? "object"])));
}
