/* compare.js — two models side by side at one tap: two maps on one scale, and where they differ most. */
import { choice, element, note, table } from "./dom.js";
import { figure, featureName, signed, tapName } from "./figures.js";
import { chart } from "./charts.js";
import { scaleLegend, scaleOf } from "./colour.js";
import { modelTitle } from "./crumbs.js";
import { modelPicker } from "./ask.js";
import { heatMap } from "./heat.js";
import { MEASURES, measuresOf, spread } from "./measures.js";
import { featureLink, go, link, remember } from "./router.js";
import { plainText } from "./tokens.js";
import { readout } from "./block.js";

/* Both maps, spread out to the same width. */
function both(answer) {
  const width = Math.max(answer.width ?? 0, answer.a?.width ?? 0, answer.b?.width ?? 0);
  return { a: spread({ ...answer.a, width }), b: spread({ ...answer.b, width }) };
}

function differences(sides, by) {
  const out = [];
  for (let i = 0; i < sides.a.width; i++) {
    const d = sides.b[by]?.[i] - sides.a[by]?.[i];
    if (Number.isFinite(d)) out.push([i, d]);
  }
  return out.sort((x, y) => Math.abs(y[1]) - Math.abs(x[1]));
}

function scatter(sides, by, names, name) {
  const points = differences(sides, by).map(([i]) => ({ x: sides.a[by][i], y: sides.b[by][i], i }));
  return chart(
    (c) => ({
      type: "scatter",
      data: { datasets: [{ data: points, backgroundColor: c.up, pointRadius: 3 }] },
      options: {
        plugins: {
          legend: { display: false },
          tooltip: {
            callbacks: {
              label: ({ raw }) => `${name(raw.i)}: ${figure(raw.x)} and ${figure(raw.y)}`
            }
          }
        },
        scales: {
          x: { title: { display: true, text: names[0] } },
          y: { title: { display: true, text: names[1] } }
        }
      }
    }),
    `${by} of ${names.join(" against ")}`,
    true
  );
}

function differing(sides, by, keys, name) {
  return table(
    [
      "feature",
      { text: "A", number: true },
      { text: "B", number: true },
      { text: "B − A", number: true },
      "text of A",
      "text of B"
    ],
    differences(sides, by)
      .slice(0, 30)
      .map(([i, d]) =>
        element(
          "tr",
          null,
          element("td", null, i),
          ...["a", "b"].map((s, k) =>
            element(
              "td",
              { class: "number" },
              element("a", { href: featureLink(keys[k], name(i)) }, figure(sides[s][by][i]))
            )
          ),
          element("td", { class: "number lead" }, signed(d, 2)),
          ...["a", "b"].map((s) =>
            element("td", { class: "wide" }, sides[s].text?.[i] ? plainText(sides[s].text[i]) : "–")
          )
        )
      )
  );
}

function maps(sides, keys, names, place, block, query, main) {
  const name = (i) => featureName(place, block, i);
  const known = measuresOf(sides.a).filter((by) => measuresOf(sides.b).includes(by));
  if (!known.length)
    return main.append(note(`Nothing of ${tapName(place, block)} is kept of both models.`));
  let by = known.includes(query.by) ? query.by : known[0];
  const legend = element("div"),
    below = element("div");
  const halves = ["a", "b"].map((s, k) => {
    const line = element("p", { class: "readout", "aria-live": k ? "off" : "polite" });
    const tell = (i) =>
      line.replaceChildren(...readout(sides[s], i, name(i), featureLink(keys[k], name(i))));
    tell(-1);
    const heat = heatMap({
      n: sides.a.width,
      label: `${names[k]}, ${tapName(place, block)}`,
      at: (i) => follow(i),
      open: (i) => go(featureLink(keys[k], name(i)))
    });
    return {
      heat,
      tell,
      node: element(
        "section",
        null,
        element("h2", null, `${"AB"[k]}  ${names[k]}`),
        heat.node,
        line
      )
    };
  });
  const follow = (i) =>
    halves.forEach((h) => {
      h.heat.point(i);
      h.tell(i);
    });
  const draw = () => {
    const scale = scaleOf([...sides.a[by], ...sides.b[by]], MEASURES[by].two);
    halves.forEach((h, k) => h.heat.draw(k ? sides.b[by] : sides.a[by], scale));
    legend.replaceChildren(scaleLegend(scale, `${MEASURES[by].title}; one scale for both`));
    const cloud = scatter(
      sides,
      by,
      names.map((n, k) => `${"AB"[k]} ${n}`),
      name
    );
    below.replaceChildren(
      element("h2", null, "One against the other"),
      cloud.node,
      element("h2", null, "Where they differ most"),
      differing(sides, by, keys, name)
    );
    cloud.draw();
  };
  main.append(
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
    element(
      "div",
      { class: "halves" },
      halves.map((h) => h.node)
    ),
    below
  );
  draw();
}

function form(models, taps, query) {
  const a = modelPicker(models, query.a),
    b = modelPicker(models, query.b);
  const tap = element(
    "select",
    { "aria-label": "place" },
    taps.map((t) =>
      element(
        "option",
        {
          value: `${t.place}|${t.block}`,
          selected: t.place === (query.place ?? "block") && t.block === Number(query.block)
        },
        tapName(t.place, t.block)
      )
    )
  );
  const apply = () => {
    const [place, block] = tap.value.split("|");
    go(link("/compare", { a: a.value, b: b.value, place, block, by: query.by }));
  };
  for (const part of [a, b, tap]) part.addEventListener("change", apply);
  return element(
    "form",
    {
      class: "bar",
      onsubmit: (e) => {
        e.preventDefault();
        apply();
      }
    },
    element("label", null, "A ", a),
    element("label", null, "B ", b),
    element("label", null, "at ", tap)
  );
}

export async function compareView(source, _, given, main) {
  const models = await source.models();
  main.append(element("h1", null, "Two models side by side"));
  if (models.length < 2) {
    main.append(
      note(
        "The store holds fewer than two models. A model with weights drawn anew (--untrained) counts as one: trained against untrained is a comparison."
      )
    );
    return "compare";
  }
  const query = { a: models[0].key, b: models[1].key, ...given };
  const taps = await source.blocks(query.a);
  if (query.block === undefined && taps.length)
    Object.assign(query, { place: taps[0].place, block: String(taps[0].block) });
  main.append(form(models, taps, query));
  if (query.block === undefined) return "compare";
  const place = query.place ?? "block",
    block = Number(query.block);
  const names = [query.a, query.b].map((key) => modelTitle(models.find((m) => m.key === key)));
  const sides = both(await source.compare(query.a, query.b, place, block));
  maps(sides, [query.a, query.b], names, place, block, query, main);
  return `compare · ${tapName(place, block)}`;
}
