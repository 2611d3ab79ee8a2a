/* report.js — the report: the page's views over the lines that the file itself holds. */
import { element, note, table } from "./dom.js";
import { count, figure, parsed, signed, tapName } from "./figures.js";
import { byRank, towards } from "./answers.js";
import { blockView } from "./block.js";
import { modelTitle } from "./crumbs.js";
import { featureView } from "./feature.js";
import { modelView } from "./models.js";
import { blockLink, featureLink, modelLink, start } from "./router.js";
import { shell } from "./shell.js";
import { plainText, tokenText } from "./tokens.js";

const held = JSON.parse(document.getElementById("lines").textContent);

/* As the store tells models apart. */
function keyOf(m) {
  if (!m.untrained) return m.sha256;
  const drawn = m.shape ? `${m.init_seed}:${m.shape}` : m.init_seed;
  return `untrained:${m.sha256}:${drawn}:${m.blocks}`;
}

/* {models: [{key, …}], features: Map of key, then feature, to {feature, results, scan, runs, at}} */
function collect(lines) {
  const runs = new Map(),
    models = new Map(),
    features = new Map();
  for (const line of lines) {
    if (line.type === "run") runs.set(line.id, { ...line, key: keyOf(line.model) });
    const run = runs.get(line.run);
    if (!run || !line.feature) continue;
    if (!models.has(run.key)) models.set(run.key, { ...run.model, key: run.key });
    if (!features.has(run.key)) features.set(run.key, new Map());
    const of = features.get(run.key);
    if (!of.has(line.feature))
      of.set(line.feature, {
        feature: line.feature,
        results: [],
        scan: null,
        runs: [],
        at: parsed(line.feature)
      });
    const one = of.get(line.feature);
    if (line.type === "dream") one.results.push(line);
    if (line.type === "scan") one.scan = line;
    if (!one.runs.includes(run)) one.runs.push(run);
  }
  for (const [key, of] of features) for (const one of of.values()) describe(one, models.get(key));
  return { models: [...models.values()], features };
}

/* What the store says of a feature in its summary. */
function describe(one, model) {
  const best = byRank(one.results)[0],
    rival = best?.best_token,
    top = one.scan?.top[0] ?? (best?.sign === "-" ? null : rival),
    at = one.at;
  Object.assign(one, {
    activation: best?.activation.text ?? null,
    z: best?.z ?? null,
    text: best?.text ?? null,
    token: top?.token ?? null,
    token_activation: top?.activation ?? null,
    gap: rival ? towards(best, best.activation.text - rival.activation) : null
  });
  if (at && ["block", "attn", "mlp"].includes(at.place))
    model.width = Math.max(model.width ?? 0, at.component + 1);
}

const all = collect(held.lines);
const featuresOf = (key) => [...(all.features.get(key)?.values() ?? [])];

const report = {
  live: false,
  models: async () => all.models,
  blocks: async (key) => {
    const taps = new Map();
    for (const f of featuresOf(key)) {
      const place = f.at?.place ?? "other",
        block = f.at?.block ?? 0,
        name = `${place} ${block}`;
      if (!taps.has(name))
        taps.set(name, {
          place,
          block,
          features: 0,
          results: 0,
          scans: 0,
          best: null,
          best_text: null
        });
      const tap = taps.get(name);
      tap.features++;
      tap.results += f.results.length;
      tap.scans += f.scan ? 1 : 0;
      if (f.activation !== null && f.activation > (tap.best ?? -Infinity))
        Object.assign(tap, { best: f.activation, best_text: f.text });
    }
    return [...taps.values()].sort((a, b) => a.block - b.block);
  },
  map: async (key, place, block) => {
    const here = featuresOf(key).filter(
      (f) => (f.at?.place ?? "other") === place && (f.at?.block ?? 0) === block && f.at
    );
    const columns = {
      component: here.map((f) => f.at.component),
      width: Math.max(0, ...here.map((f) => f.at.component + 1))
    };
    for (const name of ["activation", "z", "gap", "text", "token", "token_activation", "feature"])
      columns[name] = here.map((f) => f[name]);
    return columns;
  },
  feature: async (key, feature) => {
    const one = all.features.get(key)?.get(feature);
    if (!one)
      throw Object.assign(new Error(`this report does not hold ${feature}`), { status: 404 });
    const texts = new Set(one.results.map((r) => r.text));
    const same = featuresOf(key)
      .filter((f) => f !== one)
      .flatMap((f) =>
        f.results
          .filter((r) => texts.has(r.text))
          .map((r) => ({ feature: f.feature, text: r.text, activation: r.activation.text }))
      );
    return { ...one, same_text: same };
  },
  results: async ({ model, place }) =>
    featuresOf(model)
      .filter((f) => f.z !== null && (!place || (f.at?.place ?? "other") === place))
      .sort((a, b) => b.z - a.z)
};

function listing(model) {
  const features = featuresOf(model.key);
  const taps = new Map(
    features.filter((f) => f.at).map((f) => [tapName(f.at.place, f.at.block), f.at])
  );
  return element(
    "section",
    null,
    element("h2", null, element("a", { href: modelLink(model.key) }, modelTitle(model))),
    element(
      "p",
      { class: "links" },
      "Heat maps: ",
      [...taps].map(([name, at]) =>
        element("a", { href: blockLink(model.key, at.place, at.block) }, name)
      )
    ),
    table(
      [
        "feature",
        "best text",
        { text: "activation", number: true, title: "of the text, by a plain forward pass" },
        { text: "z", number: true, title: "standard deviations above random texts" },
        { text: "one token", number: true, title: "activation of the best single token" },
        "best one token"
      ],
      features.map((f) =>
        element(
          "tr",
          null,
          element("td", null, element("a", { href: featureLink(model.key, f.feature) }, f.feature)),
          element(
            "td",
            { class: "wide" },
            f.text === null ? element("span", { class: "quiet" }, "no text") : plainText(f.text)
          ),
          element("td", { class: "number lead" }, figure(f.activation)),
          element("td", { class: "number" }, signed(f.z)),
          element("td", { class: "number" }, figure(f.token_activation)),
          element("td", null, tokenText(f.token))
        )
      )
    )
  );
}

async function contents(source, _, __, main) {
  const features = all.models.reduce((n, m) => n + featuresOf(m.key).length, 0);
  main.append(
    element("h1", null, held.title),
    element(
      "p",
      { class: "quiet" },
      `${count(features, "feature")} of ${count(all.models.length, "model")} · ${held.selection} · phosphene ${held.version}`
    ),
    ...all.models.map(listing),
    note(
      "An activation says how strongly the text drives this unit, not what the unit means. z is measured against random texts, and the best single token of the whole vocabulary is exact: compare with them."
    )
  );
  return held.title;
}

document
  .getElementById("top")
  .append(
    element("a", { class: "home", href: "#/" }, "phosphene"),
    element("nav", { "aria-label": "pages" }, element("a", { href: "#/" }, "All features"))
  );
start(
  [
    [/^\/$/, contents],
    [/^\/model\/([^/]+)$/, modelView],
    [/^\/model\/([^/]+)\/block\/(\d+)$/, blockView],
    [/^\/model\/([^/]+)\/feature\/(.+)$/, featureView]
  ],
  shell(report)
);
