/* answers.js — found texts: tokens coloured by activation, the figures that count, and all the rest
 * behind a fold.
 */
import { element, table } from "./dom.js";
import { figure, largest, seconds, signed } from "./figures.js";
import { colouredTokens, plainText, tokenText } from "./tokens.js";

/* A figure in the direction that was searched in. */
export function towards(r, figure) {
  return r.sign === "-" ? -figure : figure;
}

/* As the store ranks: a broken constraint is the worst, then a text that is other tokens, then an
 * outlier norm. */
function soundness(r) {
  return (r.violates ? 0 : 4) + (r.round_trip === false ? 0 : 2) + (r.norm_ratio > 3 ? 0 : 1);
}

/* The best first, those without an activation behind all others of their kind. */
export function byRank(results) {
  const height = (r) =>
    Number.isFinite(r.activation.text) ? towards(r, r.activation.text) : -Infinity;
  return [...results].sort(
    (a, b) =>
      soundness(b) - soundness(a) || towards(b, 1) - towards(a, 1) || height(b) - height(a) || 0
  );
}

export function strongest(results) {
  return Math.max(0, ...results.map((r) => largest(r.values ?? [])));
}

function warnings(r) {
  const out = [];
  if (r.round_trip === false) out.push(["~", "does not tokenise back to its own tokens"]);
  if (r.norm_ratio > 3)
    out.push([
      "!",
      `triggers an outlier norm (${figure(r.norm_ratio, 1)} times the usual one), and with it many features at once`
    ]);
  if (r.violates) out.push(["×", "breaks a constraint: no answer keeps them all"]);
  return out;
}

function pair(name, value, title) {
  return element("span", { class: "pair", title }, name, element("b", null, value));
}

function figures(r) {
  const a = r.activation;
  return element(
    "p",
    { class: "pairs" },
    pair("z", signed(r.z), "standard deviations above random texts"),
    a.soft === null || a.soft === undefined
      ? null
      : pair("soft", figure(a.soft, 1), "what the optimised embedding reached; no text has it"),
    a.ids === a.text
      ? null
      : pair(
          "ids",
          figure(a.ids),
          "the activation of the found tokens before they were printed as text"
        ),
    r.cross_entropy === null || r.cross_entropy === undefined
      ? null
      : pair("nats", figure(r.cross_entropy), "cross-entropy by token: lower is more fluent"),
    r.corpus
      ? pair(
          "above",
          `${figure(r.corpus.percentile, 2)} % of ordinary tokens`,
          "of the tokens of ordinary text: mixed prose, code and languages"
        )
      : null,
    r.specificity
      ? pair(
          "rank here",
          `${r.specificity.rank} of ${r.specificity.of}`,
          "among all features of this place by z: does the text drive this feature most?"
        )
      : null,
    pair("method", [r.method, r.decode].filter(Boolean).join(", "))
  );
}

function decodes(r) {
  if (!(r.decodes?.length > 1)) return null;
  return table(
    [
      "decode",
      "text",
      { text: "text", number: true, title: "activation of the text" },
      { text: "ids", number: true }
    ],
    r.decodes.map((d) =>
      element(
        "tr",
        null,
        element("td", null, d.decode ?? r.method),
        element("td", { class: "wide" }, plainText(d.text), d.round_trip ? null : " ~"),
        element("td", { class: "number lead" }, figure(d.activation.text)),
        element("td", { class: "number" }, figure(d.activation.ids))
      )
    )
  );
}

function restarts(r) {
  if (!(r.rows?.length > 1)) return null;
  return table(
    [
      { text: "restart", number: true },
      "text",
      { text: "text", number: true },
      { text: "soft", number: true }
    ],
    r.rows.map((row) =>
      element(
        "tr",
        null,
        element("td", { class: "number" }, row.restart),
        element("td", { class: "wide" }, plainText(row.text)),
        element("td", { class: "number lead" }, figure(row.activation.text)),
        element("td", { class: "number" }, figure(row.activation.soft, 1))
      )
    )
  );
}

function cost(r) {
  const parts = [
    `seed ${r.seed}`,
    r.restart === undefined ? null : `restart ${r.restart}`,
    r.token_forwards ? `${r.token_forwards.toLocaleString("en")} token-forwards` : null,
    r.seconds ? seconds(r.seconds) : null,
    `run ${r.run}`
  ];
  return element("p", { class: "quiet" }, parts.filter(Boolean).join(" · "));
}

function yardsticks(r) {
  return element(
    "p",
    { class: "quiet" },
    r.random
      ? `${r.random.n} random texts: mean ${figure(r.random.mean)}, sd ${figure(r.random.sd)}, highest ${figure(r.random.max)}. `
      : null,
    r.best_token
      ? [
          "Best single token: ",
          tokenText(r.best_token.token),
          ` ${figure(r.best_token.activation)}, repeated ${figure(r.best_token.repeated)}.`
        ]
      : null
  );
}

/* One found text; most: the activation at which colours are full. */
export function answer(r, number, most) {
  const fold = element(
    "details",
    null,
    element("summary", null, "how it was found"),
    yardsticks(r),
    decodes(r),
    restarts(r),
    cost(r)
  );
  return element(
    "li",
    { class: "answer" },
    element(
      "div",
      { class: "answer-head" },
      element("span", { class: "ordinal" }, number),
      element("span", { class: "answer-text" }, colouredTokens(r.tokens, r.values, most)),
      element(
        "b",
        { class: "score", title: "activation of this text by a plain forward pass" },
        figure(r.activation.text)
      )
    ),
    figures(r),
    warnings(r).map(([sign, text]) =>
      element("p", { class: "warning" }, element("b", null, sign), " ", text)
    ),
    fold
  );
}

/* The text with its best token coloured, where that stands in it once; parts of characters do not. */
function within(best, most) {
  const at = best.text.indexOf(best.token);
  if (at < 0 || at !== best.text.lastIndexOf(best.token)) return plainText(best.text);
  const parts = [best.text.slice(0, at), best.token, best.text.slice(at + best.token.length)];
  return colouredTokens(parts, [null, best.value, null], most);
}

/* The most active place of ordinary text. */
export function ordinary(corpus, most) {
  const best = corpus?.best;
  if (!best) return null;
  return element(
    "p",
    null,
    element("span", { class: "answer-text" }, within(best, most)),
    " ",
    element("b", { class: "score" }, figure(best.value)),
    element(
      "span",
      { class: "quiet" },
      `  highest of ${corpus.n.toLocaleString("en")} tokens of ordinary text, at `
    ),
    tokenText(best.token)
  );
}
