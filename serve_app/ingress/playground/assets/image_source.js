import { byId } from "./element.js";
import { drawing } from "./drawing.js";

/** The image of the form: chosen, dropped, or drawn here. */
export class ImageSource {
  /**
   * @param {import("./announcer.js").Announcer} announcer
   * @param {() => void} changed
   */
  constructor(announcer, changed) {
    /** @type {File | null} */
    this.current = null;
    this.url = "";
    this.announcer = announcer;
    this.changed = changed;
    byId("images-file").addEventListener("change", (event) => this.#take(event.target.files[0]));
    byId("images-sample").addEventListener("click", async () => {
      byId("images-file").value = "";
      this.#take(await drawing());
    });
    this.#acceptDrops(byId("images-drop"));
  }

  /** The image. Throws if there is none. */
  file() {
    if (this.current === null) throw new Error("Choose an image first.");
    return this.current;
  }

  /** A new element that shows the image. */
  picture() {
    const image = new Image();
    image.src = this.url;
    image.alt = this.current?.name ?? "";
    return image;
  }

  #take(file) {
    if (!file) return;
    URL.revokeObjectURL(this.url);
    this.current = file;
    this.url = URL.createObjectURL(file);
    this.announcer.say(`Image ${file.name} is chosen.`);
    this.changed();
  }

  #acceptDrops(place) {
    const mark = (over) => (event) => {
      event.preventDefault();
      place.classList.toggle("over", over);
    };
    place.addEventListener("dragover", mark(true));
    place.addEventListener("dragleave", mark(false));
    place.addEventListener("drop", (event) => {
      mark(false)(event);
      byId("images-file").value = "";
      this.#take(event.dataTransfer.files[0]);
    });
  }
}
