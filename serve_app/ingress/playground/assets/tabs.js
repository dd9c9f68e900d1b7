/**
 * Tabs by the pattern of WAI-ARIA: one is in the tab order, arrow keys, Home and End go to the
 * others. The address names the selected panel.
 */
export class Tabs {
  /**
   * @param {HTMLElement} list
   * @param {(panel: string) => void} selected called with the id of the panel that is shown
   */
  constructor(list, selected) {
    this.tabs = [...list.querySelectorAll('[role="tab"]')];
    this.selected = selected;
    for (const tab of this.tabs) {
      const panel = panelOf(tab);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      panel.tabIndex = 0;
      tab.addEventListener("click", () => this.#choose(tab));
    }
    list.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("hashchange", () => this.#select(this.#named()));
    list.hidden = false;
    this.#select(this.#named());
  }

  #named() {
    return this.tabs.find((tab) => `#${panelOf(tab).id}` === location.hash) ?? this.tabs[0];
  }

  #choose(tab) {
    history.replaceState(null, "", `#${panelOf(tab).id}`);
    this.#select(tab);
  }

  #select(chosen) {
    for (const tab of this.tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      panelOf(tab).hidden = tab !== chosen;
    }
    this.selected(panelOf(chosen).id);
  }

  #key(event) {
    const here = this.tabs.indexOf(event.target);
    const last = this.tabs.length - 1;
    const next = {
      ArrowRight: here === last ? 0 : here + 1,
      ArrowLeft: here === 0 ? last : here - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (here < 0 || next === undefined) return;
    event.preventDefault();
    this.tabs[next].focus();
    this.#choose(this.tabs[next]);
  }
}

const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));
