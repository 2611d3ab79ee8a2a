/* app.js — the page of phosphene serve: its views over the server's answers. A view's modules are
 * fetched when it is first gone to, so that none waits for the others'.
 */
import { element } from "./dom.js";
import { api } from "./api.js";
import { start } from "./router.js";
import { shell } from "./shell.js";

const view =
  (module, name) =>
  async (...about) =>
    (await import(module))[name](...about);

const routes = [
  [/^\/$/, view("./models.js", "modelsView")],
  [/^\/model\/([^/]+)$/, view("./models.js", "modelView")],
  [/^\/model\/([^/]+)\/block\/(\d+)$/, view("./block.js", "blockView")],
  [/^\/model\/([^/]+)\/feature\/(.+)$/, view("./feature.js", "featureView")],
  [/^\/search$/, view("./search.js", "searchesView")],
  [/^\/search\/([^/]+)$/, view("./search.js", "searchView")],
  [/^\/results$/, view("./texts.js", "textsView")],
  [/^\/tokens$/, view("./find.js", "findView")],
  [/^\/compare$/, view("./compare.js", "compareView")]
];

const pages = [
  ["/", "Models"],
  ["/search", "Search"],
  ["/results", "Texts"],
  ["/tokens", "Tokens"],
  ["/compare", "Compare"]
];

document.getElementById("top").append(
  element("a", { class: "home", href: "/" }, "phosphene"),
  element(
    "nav",
    { "aria-label": "pages" },
    pages.map(([href, text]) => element("a", { href }, text))
  )
);
start(routes, shell(api));
