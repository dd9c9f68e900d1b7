import { byId } from "./element.js";
import { drawing } from "./drawing.js";

const CHUNK = 32_768;

/** The input of the request that the steps share: a text, and an image. */
export class GraphInput {
  constructor() {
    /** @type {Blob | null} */
    this.image = null;
    byId("graph-image").addEventListener("change", (event) => {
      this.image = event.target.files[0] ?? null;
      byId("graph-image-name").textContent = "";
    });
  }

  /**
   * Take the input of an example. Its image is drawn here.
   * @param {{text?: string, image?: boolean}} example
   */
  async set({ text = "", image = false }) {
    byId("graph-text").value = text;
    byId("graph-image").value = "";
    byId("graph-image-name").textContent = image ? "a drawing of a red circle" : "";
    this.image = image ? await drawing() : null;
  }

  /**
   * The request's `input`.
   * @returns {Promise<{text: string, image?: string}>}
   */
  async value() {
    const text = byId("graph-text").value;
    if (this.image === null) return { text };
    return { text, image: base64(new Uint8Array(await this.image.arrayBuffer())) };
  }
}

function base64(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(binary);
}
