/* tokens.js — tokens to be read: blanks and what cannot be seen made visible, coloured by value.
 *
 * A token is isolated (bdi), so that one written from right to left does not turn its neighbours;
 * marks that would change direction, and all other invisible ones, are written as their code.
 */
import { element } from "./dom.js";
import { figure } from "./figures.js";

const KNOWN = { "\n": "↵", "\t": "⇥", "\r": "␍", "\u00a0": "⍽" };

const MOST = 8;

function mark(c) {
  if (c === " ") return element("span", { class: "blank" }, " ");
  return element("span", { class: "mark" }, KNOWN[c] ?? `\\u{${c.codePointAt(0).toString(16)}}`);
}

/* n times the same; many are counted rather than shown. */
function marks(c, n) {
  if (n <= MOST) return Array.from({ length: n }, () => mark(c));
  return [mark(c), element("span", { class: "mark" }, `×${n}`)];
}

/* Nodes for a text. */
export function visible(text) {
  const out = [];
  for (const [part] of (text ?? "").matchAll(/([\p{C}\p{Z}])\1*|[^\p{C}\p{Z}]+/gu)) {
    const [c] = part;
    out.push(/[\p{C}\p{Z}]/u.test(c) ? marks(c, [...part].length) : part);
  }
  return out.flat();
}

/* For places that hold no elements: quoted, what cannot be seen as its code. */
export function quotedText(text) {
  return JSON.stringify(text ?? "").replace(/[\p{C}\p{Z}]/gu, (c) =>
    c === " " ? c : `\\u{${c.codePointAt(0).toString(16)}}`
  );
}

/* One token alone. */
export function tokenText(text) {
  if (text === null || text === undefined) return "–";
  return element(
    "bdi",
    { class: "tok" },
    text === "" ? element("span", { class: "mark" }, "empty") : visible(text)
  );
}

/* A text that is not split into tokens. */
export function plainText(text) {
  return element("bdi", { class: "text" }, visible(text));
}

/* Tokens coloured by values / most; details(i) may add lines to the tip of a token. */
export function colouredTokens(tokens, values, most, details) {
  return element(
    "bdi",
    { class: "text" },
    tokens.map((token, i) => {
      const v = values?.[i],
        strength = Number.isFinite(v) && most > 0 ? Math.min(Math.abs(v) / most, 1) : 0;
      return element(
        "bdi",
        {
          class: v < 0 ? "tok down" : "tok up",
          style: { "--k": strength.toFixed(3) },
          title: `${quotedText(token)}  ${figure(v, 3)}${details ? details(i) : ""}`
        },
        visible(token)
      );
    })
  );
}
