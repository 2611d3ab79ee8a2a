/* app.js — the page of phosphene serve: its views over the server's answers. */
import { element } from "./dom.js";
import { api } from "./api.js";
import { blockView } from "./block.js";
import { compareView } from "./compare.js";
import { featureView } from "./feature.js";
import { findView } from "./find.js";
import { modelView, modelsView } from "./models.js";
import { start } from "./router.js";
import { textsView } from "./texts.js";
import { searchView, searchesView } from "./search.js";
import { shell } from "./shell.js";

const routes = [
  [/^\/$/, modelsView],
  [/^\/model\/([^/]+)$/, modelView],
  [/^\/model\/([^/]+)\/block\/(\d+)$/, blockView],
  [/^\/model\/([^/]+)\/feature\/(.+)$/, featureView],
  [/^\/search$/, searchesView],
  [/^\/search\/([^/]+)$/, searchView],
  [/^\/results$/, textsView],
  [/^\/tokens$/, findView],
  [/^\/compare$/, compareView],
];

document.getElementById("top").append(element("a", { class: "home", href: "/" }, "phosphene"),
  element("nav", { "aria-label": "pages" }, [["/", "Models"], ["/search", "Search"], ["/results", "Texts"], ["/tokens", "Tokens"], ["/compare", "Compare"]].map(([href, text]) => element("a", { href }, text))));
start(routes, shell(api));
