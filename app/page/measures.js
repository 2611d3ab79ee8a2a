/* measures.js — what a heat map and the lists of features can show, and the same words everywhere. */
import { figure, signed } from "./figures.js";

export const MEASURES = {
  activation: {
    name: "activation",
    title: "Activation of the best text found, by a plain forward pass",
    two: false,
    show: (v) => figure(v)
  },
  z: {
    name: "z",
    title: "How many standard deviations the best text lies above random texts",
    two: false,
    show: (v) => signed(v)
  },
  gap: {
    name: "gap",
    title: "Activation of the best text minus that of the best single token",
    two: true,
    show: (v) => signed(v, 2)
  },
  token_activation: {
    name: "one token",
    title: "Activation of the best single token of the whole vocabulary, exact",
    two: false,
    show: (v) => figure(v)
  }
};

/* The measures that a map (columns by name) has values of, in order. */
export function measuresOf(map) {
  return Object.keys(MEASURES).filter((by) => map[by]?.some(Number.isFinite));
}

/* Columns whose component i stands at place i. */
export function spread(map) {
  const width = Math.max(map.width ?? 0, ...map.component.map((c) => c + 1)),
    out = { width };
  for (const [name, column] of Object.entries(map)) {
    if (!Array.isArray(column)) continue;
    const fill = Object.keys(MEASURES).includes(name) ? NaN : null;
    out[name] = Array(width).fill(fill);
    map.component.forEach((c, i) => {
      out[name][c] = column[i] ?? fill;
    });
  }
  return out;
}

/* The one to begin with: the first, unless less than half as much is known of it as of another. */
export function firstMeasure(map) {
  const known = (by) => map[by].filter(Number.isFinite).length;
  const all = measuresOf(map),
    most = Math.max(...all.map(known));
  return all.find((by) => 2 * known(by) >= most);
}
