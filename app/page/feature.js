/* feature.js — everything that is known of one feature. */
import { element, note, table } from "./dom.js";
import { featureName, figure, largest, parsed, tapName } from "./figures.js";
import { tokenLegend } from "./colour.js";
import { showAcross } from "./across.js";
import { answer, byRank, ordinary, strongest } from "./answers.js";
import { scoreBox } from "./box.js";
import { curves } from "./charts.js";
import { crumbs, modelTitle } from "./crumbs.js";
import { distribution } from "./distribution.js";
import { blockLink, featureLink, link } from "./router.js";
import { plainText, tokenText } from "./tokens.js";

const FIRST = 6;

function section(title, ...content) {
  const inside = content.flat(Infinity).filter(Boolean);
  return inside.length ? element("section", null, element("h2", null, title), inside) : null;
}

function answers(results, most) {
  if (!results.length) return note("No text is kept for this feature yet.");
  const list = element(
    "ol",
    { class: "answers" },
    results.slice(0, FIRST).map((r, i) => answer(r, i + 1, most))
  );
  const more =
    results.length > FIRST
      ? element(
          "button",
          {
            type: "button",
            onclick: () => {
              list.append(...results.slice(FIRST).map((r, i) => answer(r, FIRST + i + 1, most)));
              more.remove();
            }
          },
          `Show all ${results.length}`
        )
      : null;
  return [element("p", { class: "quiet" }, tokenLegend(most), " activation by token"), list, more];
}

function tokenList(name, list, most) {
  return table(
    [name, { text: "activation", number: true }, ""],
    list.map((t) =>
      element(
        "tr",
        null,
        element("td", { title: `id ${t.id}` }, tokenText(t.token)),
        element("td", { class: "number" }, figure(t.activation)),
        element(
          "td",
          { class: "barcell" },
          element("i", {
            class: t.activation < 0 ? "down" : "up",
            style: { width: `${(100 * Math.abs(t.activation)) / most}%` }
          })
        )
      )
    ),
    { class: "tokens" }
  );
}

function vocabulary(scan, results) {
  if (!scan)
    return note("Not scanned yet: phosphene scan shows the exact best and worst of all tokens.");
  const most = largest([...scan.top, ...scan.bottom].map((t) => t.activation)) || 1;
  const marks = results
    .slice(0, FIRST)
    .map((r, i) => ({ label: String(i + 1), title: r.text, value: r.activation.text }));
  return [
    distribution(scan, marks),
    element(
      "div",
      { class: "columns" },
      tokenList("best tokens", scan.top, most),
      tokenList("worst tokens", scan.bottom, most)
    )
  ];
}

function descents(results) {
  const series = results
    .filter((r) => r.curve?.length > 2 && r.curve.some((v) => v))
    .slice(0, 5)
    .map((r) => ({ name: `${results.indexOf(r) + 1}. ${r.method}`, values: r.curve }));
  return series.length ? curves(series, "soft activation by step") : null;
}

function neighbours(results) {
  const r = results.find((one) => one.nearest?.length);
  if (!r) return null;
  return [
    element(
      "p",
      { class: "pairs" },
      r.nearest.map((n) =>
        element("span", { class: "pair" }, tokenText(n.token), element("b", null, figure(n.cosine)))
      )
    ),
    element(
      "p",
      { class: "quiet" },
      `Nearest token by cosine to each optimised embedding behind answer ${results.indexOf(r) + 1}: far below 1, they lie between the tokens, not on them.`
    )
  ];
}

function sameText(key, rows) {
  if (!rows?.length) return null;
  return table(
    ["feature", "text", { text: "activation", number: true }],
    rows
      .slice(0, 30)
      .map((r) =>
        element(
          "tr",
          null,
          element(
            "td",
            null,
            element("a", { href: featureLink(r.model ?? key, r.feature) }, r.feature)
          ),
          element("td", { class: "wide" }, plainText(r.text)),
          element("td", { class: "number" }, figure(r.activation))
        )
      )
  );
}

function runs(lines) {
  if (!lines?.length) return null;
  return element(
    "ul",
    { class: "runs" },
    lines.map((run) =>
      element(
        "li",
        null,
        element(
          "details",
          null,
          element(
            "summary",
            null,
            element("code", null, run.id),
            ` ${run.command ?? ""} · seed ${run.seed ?? 0} · version ${run.version ?? ""}`
          ),
          element(
            "dl",
            { class: "settings" },
            Object.entries({ input: run.input, machine: run.machine, ...run.settings })
              .filter(([, v]) => v !== null && v !== undefined)
              .map(([name, v]) => [
                element("dt", null, name),
                element("dd", null, plainText(typeof v === "string" ? v : JSON.stringify(v)))
              ])
          )
        )
      )
    )
  );
}

function steps(key, at, width) {
  if (!at) return null;
  const to = (i, text, rel) =>
    element(
      "a",
      { rel, href: featureLink(key, featureName(at.place, at.block, i, at.tokens)) },
      text
    );
  return element(
    "nav",
    { class: "steps", "aria-label": "features" },
    at.component > 0 ? to(at.component - 1, `← ${at.component - 1}`, "prev") : null,
    !width || at.component + 1 < width
      ? to(at.component + 1, `${at.component + 1} →`, "next")
      : null
  );
}

function acrossSection(source, key, feature, best, at) {
  if (!source.live || !best || !at || at.place !== "block") return null;
  const into = element("div", { class: "lazy" });
  const seen = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    seen.disconnect();
    showAcross(source, key, feature, best.text_ids ?? best.ids, at.block, into);
  });
  seen.observe(into);
  return section("The best text at every block", into);
}

/* What the view of a feature shows below its name. */
export function featureBody(source, key, data, query) {
  const results = byRank(data.results ?? []),
    at = parsed(data.feature);
  const corpus = results.find((r) => r.corpus)?.corpus;
  const most =
    Math.max(strongest(results), largest(data.scan?.top.map((t) => t.activation) ?? [])) || 1;
  const lines = descents(results);
  const node = [
    section("Texts it answers to", answers(results, most)),
    source.live
      ? section("A text of your own", scoreBox(source, key, data.feature, most, query.text))
      : null,
    section("In ordinary text", ordinary(corpus, most)),
    section("Every token of the vocabulary, alone", vocabulary(data.scan, results)),
    lines
      ? section(
          "The descent",
          element(
            "p",
            { class: "quiet" },
            "Activation of the optimised embedding by step. It is no answer until it is text."
          ),
          lines.node
        )
      : null,
    acrossSection(source, key, data.feature, results[0], at),
    section("Neighbours of the found embedding", neighbours(results)),
    section("Other features that answer to the same text", sameText(key, data.same_text)),
    section("Runs", runs(data.runs))
  ];
  return [node.filter(Boolean), () => lines?.draw()];
}

export async function featureView(source, [key, feature], query, main) {
  const [data, models] = await Promise.all([source.feature(key, feature), source.models()]);
  const model = models.find((m) => m.key.startsWith(key)),
    at = parsed(feature);
  const [node, draw] = featureBody(source, key, data, query);
  main.append(
    crumbs(model, [
      ...(at ? [[tapName(at.place, at.block), blockLink(key, at.place, at.block)]] : []),
      feature
    ]),
    element(
      "div",
      { class: "bar" },
      element("h1", null, feature),
      steps(key, at, at && ["block", "attn", "mlp"].includes(at.place) ? model?.width : 0)
    ),
    element(
      "p",
      { class: "links" },
      source.live
        ? element(
            "a",
            { href: link("/search", { model: key, features: feature }) },
            "Search for more texts"
          )
        : null,
      source.live && at
        ? element(
            "a",
            { href: link("/tokens", { model: key, token: data.scan?.top[0]?.id }) },
            "Who else likes its best token?"
          )
        : null
    ),
    ...node
  );
  draw();
  return `${feature} · ${modelTitle(model)}`;
}
