/* crumbs.js — where a view stands: models › model › tap › feature. */
import { element } from "./dom.js";
import { count, modelName } from "./figures.js";
import { link, modelLink } from "./router.js";

export function modelTitle(model) {
  return model
    ? [modelName(model), model.quant, model.untrained ? `of ${count(model.blocks, "block")}` : null]
        .filter(Boolean)
        .join(" ")
    : "unknown model";
}

/* trail: texts or [text, href]; the last is where we are. */
export function crumbs(model, trail) {
  const parts = [
    ["Models", link("/")],
    ...(model ? [[modelTitle(model), modelLink(model.key)]] : []),
    ...trail
  ];
  return element(
    "nav",
    { class: "crumbs", "aria-label": "where" },
    element(
      "ol",
      null,
      parts.map((part, i) =>
        element(
          "li",
          null,
          Array.isArray(part)
            ? element("a", { href: part[1] }, part[0])
            : element("span", { "aria-current": i === parts.length - 1 ? "page" : null }, part)
        )
      )
    )
  );
}
