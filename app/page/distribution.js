/* distribution.js — a feature over the whole vocabulary, one token at a time, and where answers fall.
 *
 * What a scan keeps is drawn and no more: its lists of exact best and worst tokens as ticks, mean and
 * standard deviation, quantiles where there are any; the bell curve between them is said to be one.
 */
import { element, svg } from "./dom.js";
import { figure } from "./figures.js";
import { quotedText } from "./tokens.js";

const H = 186,
  SIDE = 12,
  BASE = 138;

function ticks(low, high) {
  const rough = (high - low) / 7,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high; v += step)
    out.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return out;
}

function bell(scan, x) {
  const points = [];
  for (let i = -40; i <= 40; i++)
    points.push([scan.mean + (i / 10) * scan.sd, Math.exp(-((i / 10) ** 2) / 2)]);
  const path = points
    .map(([v, y], i) => `${i ? "L" : "M"}${x(v).toFixed(1)} ${(BASE - 78 * y).toFixed(1)}`)
    .join("");
  return svg("path", { class: "bell", d: `${path}Z` });
}

/* Steps of equal share between neighbouring quantiles: the height is share by width. */
function quantileSteps(quantiles, x) {
  const q = Object.entries(quantiles)
    .map(([level, v]) => [Number(level), v])
    .filter(([, v]) => Number.isFinite(v))
    .sort((a, b) => a[0] - b[0]);
  const bars = q.slice(1).map(([level, v], i) => ({
    from: q[i][1],
    to: v,
    height: (level - q[i][0]) / Math.max(v - q[i][1], 1e-9)
  }));
  const most = Math.max(...bars.map((b) => b.height));
  return bars.map((b) =>
    svg("rect", {
      class: "bell",
      x: x(b.from),
      width: Math.max(x(b.to) - x(b.from), 0.5),
      y: BASE - (78 * b.height) / most,
      height: (78 * b.height) / most
    })
  );
}

/* Labels that would meet are put on another line. */
function lanes(marks, x) {
  const ends = [-1e9, -1e9, -1e9];
  return marks.map((m) => {
    const at = x(m.value),
      free = ends.findIndex((end) => end < at - 6);
    const lane = free < 0 ? ends.length - 1 : free;
    ends[lane] = at + 8 + 7 * m.label.length;
    return { ...m, at, lane, clear: free >= 0 };
  });
}

function drawn(scan, answers, W) {
  const listed = [...scan.top, ...scan.bottom].map((t) => t.activation);
  const all = [
    ...listed,
    ...answers.map((a) => a.value),
    scan.mean - 3 * scan.sd,
    scan.mean + 3 * scan.sd
  ].filter(Number.isFinite);
  const low = Math.min(...all),
    high = Math.max(...all),
    pad = 0.02 * (high - low || 1);
  const x = (v) => SIDE + ((v - low + pad) / (high - low + 2 * pad)) * (W - 2 * SIDE);
  const marks = lanes(
    answers.filter((a) => Number.isFinite(a.value)).sort((a, b) => a.value - b.value),
    x
  );
  return svg(
    "svg",
    {
      width: W,
      height: H,
      role: "img",
      class: "plot",
      "aria-label": `${inWords(scan)}; ${marks.map((m) => `${m.label} at ${figure(m.value)}`).join(", ")}`
    },
    scan.quantiles ? quantileSteps(scan.quantiles, x) : bell(scan, x),
    svg("line", { class: "axis", x1: SIDE, x2: W - SIDE, y1: BASE, y2: BASE }),
    ticks(low, high).map((v) =>
      svg(
        "g",
        null,
        svg("line", { class: "axis", x1: x(v), x2: x(v), y1: BASE, y2: BASE + 5 }),
        svg("text", { x: x(v), y: BASE + 19, "text-anchor": "middle" }, figure(v, 0))
      )
    ),
    [
      ["top", "up"],
      ["bottom", "down"]
    ].map(([end, side]) =>
      scan[end].map((t) =>
        svg(
          "line",
          {
            class: `rug ${side}`,
            x1: x(t.activation),
            x2: x(t.activation),
            y1: BASE - 14,
            y2: BASE
          },
          svg("title", null, `${quotedText(t.token)} ${figure(t.activation)}`)
        )
      )
    ),
    marks.map((m) =>
      svg(
        "g",
        { class: "answer" },
        svg("line", { x1: m.at, x2: m.at, y1: 16 + 16 * m.lane, y2: BASE }),
        svg("title", null, `${quotedText(m.title)}: ${figure(m.value)}`),
        m.clear
          ? svg(
              "text",
              {
                x: m.at > W - 60 ? m.at - 4 : m.at + 4,
                y: 20 + 16 * m.lane,
                "text-anchor": m.at > W - 60 ? "end" : "start"
              },
              m.label
            )
          : null
      )
    ),
    svg("text", { x: W / 2, y: H - 6, "text-anchor": "middle", class: "faint" }, "activation")
  );
}

function inWords(scan) {
  return `${(scan.n ?? 0).toLocaleString("en")} tokens, mean ${figure(scan.mean)}, standard deviation ${figure(scan.sd)}`;
}

/* answers: [{label, title, value}] */
export function distribution(scan, answers) {
  const box = element("div");
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width && width !== box.firstChild?.width.baseVal.value)
      box.replaceChildren(drawn(scan, answers, width));
  }).observe(box);
  return element(
    "figure",
    { class: "distribution" },
    box,
    element(
      "figcaption",
      { class: "quiet" },
      inWords(scan),
      scan.quantiles
        ? "; steps between its quantiles. "
        : "; the curve is the normal one of that mean and deviation. ",
      "Short ticks: the exact best and worst tokens. Lines: the answers above, by number."
    )
  );
}
