const KEY = "theme";

/**
 * The switch between light, dark and what the system prefers. This browser remembers it.
 * @param {HTMLSelectElement} choice
 */
export function themeSwitch(choice) {
  const saved = localStorage.getItem(KEY);
  if (saved === "light" || saved === "dark") choice.value = saved;
  apply(choice.value);
  choice.addEventListener("change", () => {
    localStorage.setItem(KEY, choice.value);
    apply(choice.value);
  });
}

function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
