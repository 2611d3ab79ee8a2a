/* colour.js — from numbers to colours that colour-blind eyes tell apart, and their legends in numbers.
 *
 * One-sided measures go from dark blue to yellow (cividis), two-sided ones from blue over the
 * ground's own grey to orange, as on the terminal.
 */
import { element } from "./dom.js";
import { figure } from "./figures.js";

const CIVIDIS = [
  "#00224e",
  "#123570",
  "#3b496c",
  "#575d6d",
  "#707173",
  "#8a8678",
  "#a59c74",
  "#c3b369",
  "#e1cc55",
  "#fee838"
];
const TWO_SIDED = {
  light: ["#1b5fc1", "#8fb3e6", "#f1efe9", "#f2b27a", "#cf5a00"],
  dark: ["#6ea8ff", "#34568c", "#2a2c31", "#87511f", "#ff9a45"]
};

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

function between(stops, t) {
  const x = Math.min(Math.max(t, 0), 1) * (stops.length - 1),
    i = Math.min(Math.floor(x), stops.length - 2);
  const a = rgb(stops[i]),
    b = rgb(stops[i + 1]);
  return `rgb(${a.map((v, k) => Math.round(v + (b[k] - v) * (x - i))).join(" ")})`;
}

export function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/* Call back when the reader's system changes between light and dark. */
export function onTheme(changed) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

/* {low, high, below, above, colour(v)}: the middle 98 % of the values get the whole range, what lies
 * beyond (below, above: whether any does) takes the colour of the end. two: around zero. */
export function scaleOf(values, two) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b),
    n = sorted.length;
  const at = (q) => sorted[Math.round(q * (n - 1))] ?? 0;
  let low = at(n > 50 ? 0.01 : 0),
    high = at(n > 50 ? 0.99 : 1);
  if (two) {
    high = Math.max(Math.abs(low), Math.abs(high));
    low = -high;
  }
  if (high <= low) high = low + 1;
  const stops = () => (two ? TWO_SIDED[isDark() ? "dark" : "light"] : CIVIDIS);
  return {
    low,
    high,
    below: n > 0 && sorted[0] < low,
    above: n > 0 && sorted[n - 1] > high,
    colour: (v) => between(stops(), (v - low) / (high - low))
  };
}

export function scaleLegend(scale, title) {
  const marks = [0, 0.25, 0.5, 0.75, 1].map((t) => scale.low + t * (scale.high - scale.low));
  return element(
    "figure",
    { class: "legend" },
    element("figcaption", null, title),
    element(
      "div",
      { class: "ramp" },
      Array.from({ length: 48 }, (_, i) =>
        element("i", {
          style: {
            background: scale.colour(scale.low + ((i + 0.5) / 48) * (scale.high - scale.low))
          }
        })
      )
    ),
    element(
      "div",
      { class: "marks" },
      marks.map((v, i) =>
        element(
          "span",
          null,
          (i === 0 && scale.below ? "≤ " : i === 4 && scale.above ? "≥ " : "") + figure(v, 1)
        )
      )
    )
  );
}

/* The legend of coloured tokens: the strength of both ends in numbers. */
export function tokenLegend(most) {
  const steps = [-1, -0.5, 0, 0.5, 1];
  return element(
    "span",
    {
      class: "token-legend",
      "aria-label": `colours from ${figure(-most, 1)} to ${figure(most, 1)}`
    },
    steps.map((k) =>
      element(
        "span",
        { class: k < 0 ? "tok down" : "tok up", style: { "--k": Math.abs(k) } },
        figure(k * most, 1)
      )
    )
  );
}
