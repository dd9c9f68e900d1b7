import { Announcer } from "./announcer.js";
import { ApiKey } from "./api_key.js";
import { Catalog } from "./catalog.js";
import { Chat } from "./chat.js";
import { byId } from "./element.js";
import { Graph } from "./graph.js";
import { Images } from "./images.js";
import { Live } from "./live.js";
import { showError } from "./notice.js";
import { Service } from "./service.js";
import { Tabs } from "./tabs.js";
import { Texts } from "./texts.js";
import { themeSwitch } from "./theme.js";
import { Vectors } from "./vectors.js";

themeSwitch(byId("theme"));
byId("controls").hidden = false;

const announcer = new Announcer(byId("announcer"));
const service = new Service(new ApiKey(byId("api-key"), () => start()));
const catalog = new Catalog(service);
new Chat(service, catalog, announcer);
new Vectors(service, catalog, announcer);
new Texts(service, announcer);
new Images(service, catalog, announcer);
const graph = new Graph(service, announcer);
const live = new Live(service, catalog);
new Tabs(byId("tabs"), (panel) => {
  live.show(panel === "live");
  if (panel === "graph") graph.show();
});
start();

/** Ask for the models, at first and with another key. */
async function start() {
  try {
    await catalog.load();
    byId("chat-notice").replaceChildren();
  } catch (error) {
    showError(byId("chat-notice"), error);
  }
}
