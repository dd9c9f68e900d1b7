const KEY = "api-key";

/** The user's API key, kept until this browser tab is closed and sent nowhere else. */
export class ApiKey {
  /**
   * @param {HTMLInputElement} field
   * @param {() => void} changed
   */
  constructor(field, changed) {
    this.value = sessionStorage.getItem(KEY) ?? "";
    field.value = this.value;
    field.addEventListener("change", () => {
      this.value = field.value.trim();
      if (this.value) sessionStorage.setItem(KEY, this.value);
      else sessionStorage.removeItem(KEY);
      changed();
    });
  }
}
