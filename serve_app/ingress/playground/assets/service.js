/** The address of the service, which may be below a prefix. */
const BASE = new URL("..", import.meta.url);

/** Asks for the timeline of a request. */
export const TIMED = { "X-Timeline": "1" };

/** An answer that is an error, or none at all. */
export class ServiceError extends Error {
  /**
   * @param {string} message
   * @param {{kind?: string, status?: number, requestId?: string, fields?: Record<string, string>}} [about]
   */
  constructor(message, { kind = "", status = 0, requestId = "", fields = {} } = {}) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.requestId = requestId;
    this.fields = fields;
  }
}

/** Sends requests with the user's API key. */
export class Service {
  /** @param {{value: string}} key */
  constructor(key) {
    this.key = key;
  }

  /**
   * Send a request. Throws a ServiceError for every answer that is one.
   * @param {string} path without its first slash
   * @param {{json?: unknown, form?: FormData, signal?: AbortSignal, headers?: Record<string, string>}} [options]
   *   with `json` or `form` it is a POST
   * @returns {Promise<Response>}
   */
  async send(path, { json, form, signal, headers = {} } = {}) {
    const all = { ...headers };
    if (this.key.value) all.Authorization = `Bearer ${this.key.value}`;
    if (json !== undefined) all["Content-Type"] = "application/json";
    const body = form ?? (json === undefined ? undefined : JSON.stringify(json));
    const method = body === undefined ? "GET" : "POST";
    let answer;
    try {
      answer = await fetch(new URL(path, BASE), { method, body, signal, headers: all, credentials: "omit" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServiceError("The server cannot be reached.", { kind: "connection" });
    }
    if (!answer.ok) throw await errorOf(answer);
    return answer;
  }

  /**
   * As {@link send}, for a JSON answer.
   * @param {string} path
   * @param {object} [options]
   * @returns {Promise<any>}
   */
  async json(path, options) {
    return (await this.send(path, options)).json();
  }

  /**
   * As {@link json}, for a request to models: with the header that says where its time went.
   * @param {string} path
   * @param {object} [options]
   * @returns {Promise<{body: any, timing: string | null}>}
   */
  async timed(path, options) {
    const answer = await this.send(path, { ...options, headers: TIMED });
    return { body: await answer.json(), timing: answer.headers.get("Server-Timing") };
  }
}

/**
 * The error of an answer: in the native envelope, or in OpenAI's.
 * @param {Response} answer
 */
async function errorOf(answer) {
  const requestId = answer.headers.get("X-Request-ID") ?? "";
  const about = { status: answer.status, requestId };
  try {
    const body = await answer.json();
    const { message, type } = body.error ?? { message: body.message, type: body.error_type };
    const fields = body.details?.field_errors ?? {};
    if (message) return new ServiceError(String(message), { ...about, kind: type, fields });
  } catch {
    // not JSON: what follows says what is known
  }
  return new ServiceError(`The server answered with status ${answer.status}.`, about);
}
