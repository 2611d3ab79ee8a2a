/* charts.js — Chart.js and dygraphs, fetched when first wanted, in the page's own colours. */
import { element } from "./dom.js";
import { figure } from "./figures.js";
import { isDark, onTheme } from "./colour.js";

const LIBRARIES = { Chart: ["/lib/chart.js"], Dygraph: ["/lib/dygraph.js", "/lib/dygraph.css"] };
const wanted = {};

function fetched(path) {
  return new Promise((done, failed) =>
    document.head.append(
      path.endsWith(".css")
        ? element("link", { rel: "stylesheet", href: path, onload: done, onerror: failed })
        : element("script", { src: path, onload: done, onerror: failed })
    )
  );
}

/* The report has them in itself. dygraphs' own legend writes style attributes, which our content policy
 * forbids: figures are shown by ours. */
async function library(name) {
  if (!globalThis[name]) await (wanted[name] ??= Promise.all(LIBRARIES[name].map(fetched)));
  const found = globalThis[name];
  if (name === "Dygraph") found.PLUGINS = found.PLUGINS.filter((p) => p !== found.Plugins.Legend);
  return found;
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const SERIES = {
  light: ["#1b5fc1", "#cf5a00", "#00776b", "#8a3ea8", "#7a6a00"],
  dark: ["#6ea8ff", "#ff9a45", "#35c4b0", "#d08be8", "#d8c643"]
};

export function seriesColour(i) {
  const colours = SERIES[isDark() ? "dark" : "light"];
  return colours[i % colours.length];
}

/* Lines over steps: {node, update(series)} of series [{name, values}], as dygraphs draws them; what is
 * under the pointer stands in figures above, which also says which line is which. */
export function curves(series, label) {
  const box = element("div", { class: "curves", role: "img", "aria-label": label });
  const legend = element("p", { class: "keys" });
  let graph = null,
    shown = series;
  const key = (at) =>
    legend.replaceChildren(
      ...shown.map((s, i) =>
        element(
          "span",
          { class: "key", style: { "--c": seriesColour(i) } },
          s.name,
          " ",
          element("b", null, figure(s.values[at ?? s.values.length - 1], 1))
        )
      ),
      at === undefined ? "" : element("span", { class: "quiet" }, `step ${at}`)
    );
  const rows = () =>
    Array.from({ length: Math.max(1, ...shown.map((s) => s.values.length)) }, (_, i) => [
      i,
      ...shown.map((s) => s.values[i] ?? null)
    ]);
  const options = () => ({
    file: rows(),
    labels: ["step", ...shown.map((_, i) => `line ${i + 1}`)],
    colors: shown.map((_, i) => seriesColour(i))
  });
  const draw = async () => {
    key();
    const Dygraph = await library("Dygraph");
    if (!box.isConnected) return;
    if (graph) return graph.updateOptions(options());
    graph = new Dygraph(box, rows(), {
      ...options(),
      file: undefined,
      strokeWidth: 1.6,
      axisLineColor: ink("--line"),
      gridLineColor: ink("--line"),
      highlightCallback: (e, x) => key(x),
      unhighlightCallback: () => key(),
      axes: { x: { axisLabelFormatter: (v) => (Number.isInteger(v) ? String(v) : "") } },
      rightGap: 8,
      highlightCircleSize: 3,
      animatedZooms: false
    });
  };
  onTheme(() => {
    if (!box.isConnected || !graph) return;
    graph.destroy();
    graph = null;
    draw();
  });
  return {
    node: element("figure", null, legend, box),
    draw,
    update: (next) => {
      shown = next;
      return draw();
    }
  };
}

/* A chart of Chart.js: make(colours) gives its configuration, anew when light changes to dark. */
export function chart(make, label, tall) {
  const canvas = element("canvas", { role: "img", "aria-label": label });
  const node = element("div", { class: tall ? "chart tall" : "chart" }, canvas);
  let drawn = null;
  const draw = async () => {
    const Chart = await library("Chart");
    if (!canvas.isConnected) return;
    drawn?.destroy();
    Chart.defaults.color = ink("--quiet");
    Chart.defaults.borderColor = ink("--line");
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.animation = false;
    Chart.defaults.maintainAspectRatio = false;
    drawn = new Chart(
      canvas,
      make({ up: seriesColour(1), down: seriesColour(0), ink: ink("--ink"), quiet: ink("--quiet") })
    );
  };
  onTheme(() => drawn && canvas.isConnected && draw());
  return { node, draw };
}
