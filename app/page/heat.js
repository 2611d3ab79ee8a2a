/* heat.js — one square for each component of a tap, coloured by a measure; by mouse, touch and keys.
 *
 * Arrows move, Home and End go to the ends, Page keys by rows, Enter opens. What is under the pointer
 * or the cursor stands in figures below, and is what a screen reader reads out.
 */
import { element } from "./dom.js";
import { onTheme } from "./colour.js";

const GUTTER = 44;

function sizes(room, n) {
  const wanted = n > 4096 ? 7 : n > 1024 ? 13 : room < 640 ? 17 : 25;
  let columns = Math.floor((room - GUTTER) / wanted);
  columns = Math.max(8, columns >= 16 ? columns - (columns % 8) : columns);
  if (columns > n) columns = n;
  const cell = Math.min((room - GUTTER) / columns, 34);
  return { columns, cell, rows: Math.ceil(n / columns) };
}

/* {node, draw(values, scale), point(i)}: values[i] of component i, NaN where nothing is known;
 * at(i) is called as the cursor moves, open(i) on Enter or a click. */
export function heatMap({ n, label, at, open }) {
  const canvas = element("canvas", {
    tabindex: 0,
    role: "application",
    "aria-roledescription": "heat map",
    "aria-label": label
  });
  const node = element("div", { class: "heat" }, canvas);
  let values = [],
    scale = null,
    cursor = -1,
    room = 0,
    s = null;

  function square(i) {
    const gap = s.cell > 10 ? 1 : 0;
    return [
      GUTTER + (i % s.columns) * s.cell,
      Math.floor(i / s.columns) * s.cell,
      s.cell - gap,
      s.cell - gap
    ];
  }

  function paint() {
    const ratio = devicePixelRatio || 1,
      g = canvas.getContext("2d");
    const style = getComputedStyle(canvas),
      faint = style.getPropertyValue("--line"),
      quiet = style.getPropertyValue("--quiet");
    canvas.width = Math.round(room * ratio);
    canvas.height = Math.round((s.rows * s.cell + 4) * ratio);
    canvas.style.height = `${s.rows * s.cell + 4}px`;
    g.scale(ratio, ratio);
    g.translate(0, 2);
    g.font = `11px ${style.fontFamily}`;
    g.textBaseline = "middle";
    g.textAlign = "right";
    for (let i = 0; i < n; i++) {
      const [x, y, w, h] = square(i);
      if (Number.isFinite(values[i])) {
        g.fillStyle = scale.colour(values[i]);
        g.fillRect(x, y, w, h);
      } else {
        g.fillStyle = faint;
        g.fillRect(x + w / 2 - 1, y + h / 2 - 1, 2, 2);
      }
    }
    g.fillStyle = quiet;
    const every = Math.ceil(14 / s.cell);
    for (let row = 0; row < s.rows; row += every)
      g.fillText(row * s.columns, GUTTER - 8, (row + 0.5) * s.cell);
    if (cursor >= 0) outline(g, style);
  }

  function outline(g, style) {
    const [x, y, w, h] = square(cursor);
    g.lineWidth = 2;
    g.strokeStyle = style.getPropertyValue("--ground");
    g.strokeRect(x - 2, y - 2, w + 4, h + 4);
    g.strokeStyle = style.getPropertyValue("--ink");
    g.strokeRect(x - 0.5, y - 0.5, w + 1, h + 1);
  }

  function point(i) {
    if (i === cursor) return;
    cursor = i;
    if (s) paint();
  }

  function move(i) {
    point(i);
    at(i);
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - GUTTER) / s.cell),
      row = Math.floor((event.clientY - box.top - 2) / s.cell);
    const i = row * s.columns + column;
    return column >= 0 && column < s.columns && row >= 0 && i < n ? i : -1;
  }

  canvas.addEventListener("pointermove", (e) => {
    const i = under(e);
    if (i >= 0) move(i);
  });
  canvas.addEventListener("pointerdown", (e) => {
    if (e.pointerType !== "mouse") move(under(e));
  });
  canvas.addEventListener("click", (e) => {
    const i = under(e);
    if (i >= 0 && e.pointerType !== "touch") open(i, e);
  });
  canvas.addEventListener("focus", () => {
    if (cursor < 0 && canvas.matches(":focus-visible")) move(0);
  });
  canvas.addEventListener("keydown", (e) => {
    const steps = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: s.columns,
      ArrowUp: -s.columns,
      PageDown: 5 * s.columns,
      PageUp: -5 * s.columns,
      Home: -n,
      End: n
    };
    if (e.key === "Enter" && cursor >= 0) return open(cursor, e);
    if (!(e.key in steps) || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    const to = Math.max(0, cursor) + steps[e.key];
    if (Math.abs(steps[e.key]) === n || (to >= 0 && to < n)) move(Math.min(Math.max(to, 0), n - 1));
  });
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (!now || now === room) return;
    room = now;
    s = sizes(room, n);
    paint();
  }).observe(node);
  onTheme(() => s && node.isConnected && paint());

  return {
    node,
    point,
    draw(v, with_scale) {
      values = v;
      scale = with_scale;
      room = Math.floor(node.clientWidth);
      if (!room) return;
      s = sizes(room, n);
      paint();
    }
  };
}
