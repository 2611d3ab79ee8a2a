/* block.js — one tap of a model: the heat map of its features and the list of the highest. */
import { choice, element, note, table } from "./dom.js";
import { figure, featureName, signed, tapName } from "./figures.js";
import { scaleLegend, scaleOf } from "./colour.js";
import { heatMap } from "./heat.js";
import { firstMeasure, MEASURES, measuresOf, spread } from "./measures.js";
import { textsOf } from "./models.js";
import { blockLink, featureLink, go, remember } from "./router.js";
import { plainText, tokenText } from "./tokens.js";
import { crumbs, modelTitle } from "./crumbs.js";

const LISTED = 40;

/* The figures of one component, as a line below a map. */
export function readout(map, i, name, href) {
  if (i < 0)
    return [
      element(
        "span",
        { class: "quiet" },
        "Point at a square, or walk with the arrow keys; Enter opens."
      )
    ];
  const figures = measuresOf(map).map((by) =>
    element(
      "span",
      { class: "pair" },
      MEASURES[by].name,
      element("b", null, MEASURES[by].show(map[by][i]))
    )
  );
  return [
    element("a", { href }, name),
    figures,
    map.text?.[i] ? element("span", { class: "pair" }, plainText(map.text[i])) : null,
    map.token?.[i]
      ? element("span", { class: "pair" }, "best token", tokenText(map.token[i]))
      : null,
    measuresOf(map).every((by) => !Number.isFinite(map[by][i]))
      ? element("span", { class: "quiet" }, "nothing kept yet")
      : null
  ]
    .flat()
    .filter(Boolean);
}

/* The order of components by a measure, those without one left out. */
export function ranked(map, by, ascending) {
  const known = [];
  for (let i = 0; i < map.width; i++) if (Number.isFinite(map[by]?.[i])) known.push(i);
  return known.sort((a, b) => (map[by][b] - map[by][a]) * (ascending ? -1 : 1) || a - b);
}

function list(key, map, by, name) {
  const rows = ranked(map, by)
    .slice(0, LISTED)
    .map((i) =>
      element(
        "tr",
        null,
        element("td", null, element("a", { href: featureLink(key, name(i)) }, i)),
        element(
          "td",
          { class: "wide" },
          map.text?.[i]
            ? plainText(map.text[i])
            : element("span", { class: "quiet" }, "no text yet")
        ),
        measuresOf(map).map((m) =>
          element(
            "td",
            { class: "number" + (m === by ? " lead" : "") },
            MEASURES[m].show(map[m][i])
          )
        ),
        element("td", null, map.token?.[i] ? tokenText(map.token[i]) : "–")
      )
    );
  return table(
    [
      "feature",
      "best text",
      ...measuresOf(map).map((m) => ({
        text: MEASURES[m].name,
        title: MEASURES[m].title,
        number: true
      })),
      "best one token"
    ],
    rows
  );
}

function summary(map) {
  const known = ranked(map, "activation").length,
    scanned = ranked(map, "token_activation").length;
  return `${map.width} features · ${known} with a text · ${scanned} scanned`;
}

/* The map first: it is what the reader waits for. */
function afterPaint(then) {
  requestAnimationFrame(() => setTimeout(then));
}

/* The map of a tap with its switch, legend, readout and list. */
export function tapView(key, place, block, raw, query) {
  const map = spread(raw),
    known = measuresOf(map);
  const name = (i) => map.feature?.[i] ?? featureName(place, block, i);
  if (!known.length) return [note(`Nothing is kept of ${tapName(place, block)} yet.`)];
  let by = known.includes(query.by) ? query.by : firstMeasure(map);
  const line = element("p", { class: "readout", "aria-live": "polite" });
  const legend = element("div"),
    ranking = element("div");
  const show = (i) => line.replaceChildren(...readout(map, i, name(i), featureLink(key, name(i))));
  const heat = heatMap({
    n: map.width,
    label: `${tapName(place, block)}: one square a feature`,
    at: show,
    open: (i) => go(featureLink(key, name(i)))
  });
  const draw = () => {
    const scale = scaleOf(map[by], MEASURES[by].two);
    heat.draw(map[by], scale);
    legend.replaceChildren(scaleLegend(scale, MEASURES[by].title));
    afterPaint(() =>
      ranking.replaceChildren(
        element("h2", null, `Highest by ${MEASURES[by].name}`),
        list(key, map, by, name)
      )
    );
  };
  show(-1);
  const node = element(
    "section",
    null,
    element("p", { class: "quiet" }, summary(map)),
    element(
      "div",
      { class: "bar" },
      choice(
        "What the colours show",
        known.map((m) => [m, MEASURES[m].name, MEASURES[m].title]),
        by,
        (m) => {
          by = m;
          remember({ by });
          draw();
        }
      ),
      legend
    ),
    heat.node,
    line,
    ranking
  );
  return [node, draw];
}

/* Sums, directions and latents stand in no order that a map could show. */
async function otherView(source, key, main) {
  const rows = await source.results({ model: key, place: "other", sort: "z", limit: 200 });
  const model = (await source.models()).find((m) => m.key.startsWith(key));
  const title = tapName("other", 0);
  main.append(crumbs(model, [title]), element("h1", null, title), textsOf(rows, key));
  return `${title} · ${modelTitle(model)}`;
}

export async function blockView(source, [key, block], query, main) {
  if (query.place === "other") return otherView(source, key, main);
  const place = query.place ?? "block",
    at = Number(block);
  const models = source.models(),
    raw = await source.map(key, place, at);
  const inside = ["block", "attn", "mlp", "neuron"].includes(place);
  const where = element("div", null, crumbs(null, [tapName(place, at)]));
  const steps = inside
    ? element(
        "nav",
        { class: "steps", "aria-label": "blocks" },
        at > 1
          ? element("a", { href: blockLink(key, place, at - 1), rel: "prev" }, `← block ${at - 1}`)
          : element("span"),
        element("a", { href: blockLink(key, place, at + 1), rel: "next" }, `block ${at + 1} →`)
      )
    : null;
  const [node, draw] = tapView(key, place, at, raw, query);
  main.append(
    where,
    element("div", { class: "bar" }, element("h1", null, tapName(place, at)), steps),
    node,
    note(
      "An activation says how strongly the text drives this unit, not what the unit means; z and the best single token are there to compare it with."
    )
  );
  draw?.();
  afterPaint(() => performance.mark("heat-painted"));
  const model = (await models).find((m) => m.key.startsWith(key));
  where.replaceChildren(crumbs(model, [tapName(place, at)]));
  if (at === model?.blocks) steps?.querySelector("[rel=next]").remove();
  return `${tapName(place, at)} · ${modelTitle(model)}`;
}
