/** @typedef {{name: string, schema: any, needed: boolean}} TaskInput */
/** @typedef {{name: string, title: string, inputs: TaskInput[], answers: string[]}} Task */

const SHARED = new Set(["model", "request_id", "execution_time", "usage"]);

/** The tasks that a step may name, with their inputs: the service lists them as MCP's tools. */
export class GraphTasks {
  /** @param {import("./service.js").Service} service */
  constructor(service) {
    this.service = service;
    /** @type {Task[]} */
    this.known = [];
  }

  /** Throws what the service throws. */
  async load() {
    const json = { jsonrpc: "2.0", id: 1, method: "tools/list" };
    const { result } = await this.service.json("mcp", { json });
    this.known = result.tools.map(taskOf);
  }

  /** @param {string} name */
  named(name) {
    return this.known.find((task) => task.name === name);
  }
}

function taskOf({ name, title, inputSchema, outputSchema }) {
  const needed = new Set(inputSchema.required ?? []);
  const inputs = Object.entries(inputSchema.properties).map(([input, schema]) => ({ name: input, schema, needed: needed.has(input) }));
  return { name, title: title ?? "", inputs: inputs.toSorted((one, other) => Number(other.needed) - Number(one.needed)), answers: fieldsOf(outputSchema ?? {}) };
}

/** The fields of a task's answers, of every kind that it has. */
function fieldsOf(schema) {
  const root = schema.$defs ?? {};
  const resolved = (each) => (each.$ref ? root[each.$ref.split("/").pop()] : each);
  const branches = (schema.anyOf ?? [schema]).map(resolved);
  const names = branches.flatMap((branch) => Object.keys(branch?.properties ?? {}));
  return [...new Set(names)].filter((name) => !SHARED.has(name) && name !== "result");
}
