import { h } from "./element.js";

/**
 * Show an error in `place`. Screen readers say it at once.
 * @param {HTMLElement} place
 * @param {Error & {kind?: string, status?: number, requestId?: string, fields?: object}} error
 */
export function showError(place, error) {
  const fields = Object.entries(error.fields ?? {}).filter(([, text]) => !error.message.includes(text));
  const about = [error.kind, error.status || "", error.requestId && `request ${error.requestId}`];
  place.replaceChildren(
    h(
      "div",
      { class: "notice", role: "alert" },
      h("p", {}, h("strong", {}, "Error: "), error.message),
      ...fields.map(([name, text]) => h("p", {}, h("code", {}, name), `: ${text}`)),
      h("p", { class: "hint" }, about.filter(Boolean).join(" · ")),
    ),
  );
}

/**
 * Run `work` for a form: its buttons wait meanwhile, and what goes wrong is shown in `place`.
 * @param {HTMLFormElement} form
 * @param {HTMLElement} place
 * @param {() => Promise<void>} work
 */
export async function busy(form, place, work) {
  if (form.getAttribute("aria-busy") === "true") return;
  form.setAttribute("aria-busy", "true");
  place.replaceChildren();
  try {
    await work();
  } catch (error) {
    showError(place, error);
  } finally {
    form.removeAttribute("aria-busy");
  }
}
