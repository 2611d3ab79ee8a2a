/* models.js — the models of the store, and of one model its blocks. */
import { element, note, table } from "./dom.js";
import { count, figure, signed, tapName } from "./figures.js";
import { crumbs, modelTitle } from "./crumbs.js";
import { blockLink, featureLink, link, modelLink } from "./router.js";
import { plainText } from "./tokens.js";

function example(text) {
  return element("pre", { class: "example" }, element("code", null, text));
}

function card(model) {
  const sizes = model.blocks && model.width ? `${model.blocks} blocks × ${model.width}` : null;
  return element(
    "li",
    null,
    element(
      "a",
      { class: "card", href: modelLink(model.key) },
      element("b", null, modelTitle(model)),
      element(
        "span",
        { class: "quiet" },
        [sizes, model.open ? "open" : null].filter(Boolean).join(" · ")
      ),
      element(
        "span",
        null,
        `${count(model.features, "feature")} · ${count(model.results, "result")} · ${count(model.runs, "run")}`
      ),
      element("code", { class: "quiet" }, (model.sha256 ?? "").slice(0, 12))
    )
  );
}

export async function modelsView(source, _, __, main) {
  const models = await source.models();
  main.append(element("h1", null, "What do the units of a model respond to?"));
  if (!models.length)
    main.append(
      element("p", null, "Nothing is kept yet. Results of these commands are, and show here:"),
      example("phosphene dream 'block 8 [:, :, 0-4]'\nphosphene scan 'block 8 [:, :, 0-99]'")
    );
  else main.append(element("ul", { class: "cards" }, models.map(card)));
  if (source.live)
    main.append(
      element(
        "p",
        null,
        element("a", { href: link("/search") }, "Start a search here"),
        ", or ",
        element("a", { href: link("/tokens") }, "ask which features like a token"),
        "."
      )
    );
  return "models";
}

function blockRow(key, b, most) {
  return element(
    "tr",
    null,
    element(
      "td",
      null,
      element("a", { href: blockLink(key, b.place, b.block) }, tapName(b.place, b.block))
    ),
    element("td", { class: "number" }, b.features),
    element("td", { class: "number" }, b.scans ?? "–"),
    element("td", { class: "number" }, b.results),
    element("td", { class: "number lead" }, figure(b.best)),
    element(
      "td",
      { class: "barcell" },
      element("i", {
        style: { width: `${most > 0 && b.best > 0 ? Math.max(1, (100 * b.best) / most) : 0}%` }
      })
    ),
    element("td", { class: "wide" }, b.best_text ? plainText(b.best_text) : null)
  );
}

/* A row a text. */
export function textsOf(rows, key) {
  return table(
    ["feature", "text", { text: "activation", number: true }, { text: "z", number: true }],
    rows.map((r) =>
      element(
        "tr",
        null,
        element("td", null, element("a", { href: featureLink(key, r.feature) }, r.feature)),
        element("td", { class: "wide" }, plainText(r.text)),
        element("td", { class: "number lead" }, figure(r.activation)),
        element("td", { class: "number" }, signed(r.z))
      )
    )
  );
}

function onceEach(rows) {
  return rows.filter((r, i) => rows.findIndex((other) => other.feature === r.feature) === i);
}

export async function modelView(source, [key], query, main) {
  const [models, blocks] = await Promise.all([source.models(), source.blocks(key)]);
  const model = models.find((m) => m.key.startsWith(key));
  const most = Math.max(0, ...blocks.map((b) => b.best ?? 0));
  const others = models.filter((m) => m.key !== key);
  main.append(
    crumbs(model, []),
    element("h1", null, modelTitle(model)),
    element(
      "p",
      { class: "quiet" },
      [model?.blocks ? `${model.blocks} blocks × ${model.width}` : null, model?.file]
        .filter(Boolean)
        .join(" · ")
    )
  );
  if (!blocks.length) main.append(note("Nothing is kept of this model's features yet."));
  else
    main.append(
      element("h2", null, "Places in the model"),
      table(
        [
          "place",
          { text: "features", number: true },
          { text: "scanned", number: true },
          { text: "texts", number: true },
          { text: "best", number: true, title: "activation of the best text" },
          "",
          ""
        ],
        blocks.map((b) => blockRow(key, b, most)),
        { class: "blocks" }
      )
    );
  main.append(
    element(
      "p",
      { class: "links" },
      source.live
        ? element("a", { href: link("/search", { model: key }) }, "Search its features")
        : null,
      source.live
        ? element("a", { href: link("/tokens", { model: key }) }, "Which features like a token?")
        : null,
      source.live && others.length && blocks.length
        ? element(
            "a",
            {
              href: link("/compare", {
                a: key,
                b: others[0].key,
                place: blocks[0].place,
                block: blocks[0].block
              })
            },
            "Compare with another model"
          )
        : null
    )
  );
  const best = onceEach(await source.results({ model: key, sort: "z", limit: 200 })).slice(0, 20);
  if (best.length)
    main.append(element("h2", null, "Farthest above random texts"), textsOf(best, key));
  return modelTitle(model);
}
