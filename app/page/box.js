/* box.js — a text of the reader's own, scored while it is written. */
import { element, note, table } from "./dom.js";
import { figure, largest, signed } from "./figures.js";
import { tokenLegend } from "./colour.js";
import { remember } from "./router.js";
import { colouredTokens, tokenText } from "./tokens.js";

const PAUSE = 250;

function details(line) {
  if (!line.combined && !line.grad_x_input) return null;
  return table(
    [
      "token",
      { text: "activation", number: true },
      { text: "gradient × input", number: true },
      {
        text: "occlusion",
        number: true,
        title: "the activation minus that with the token replaced"
      },
      { text: "share", number: true, title: "mean of both, as a share" }
    ],
    line.tokens.map((token, i) =>
      element(
        "tr",
        null,
        element("td", null, tokenText(token)),
        element("td", { class: "number" }, figure(line.values[i], 3)),
        element("td", { class: "number" }, signed(line.grad_x_input?.[i], 3)),
        element("td", { class: "number" }, signed(line.occlusion?.[i], 3)),
        element(
          "td",
          { class: "number" },
          line.combined ? `${figure(100 * line.combined[i], 0)} %` : "–"
        )
      )
    )
  );
}

function scored(line, most) {
  const scale = Math.max(most, largest(line.values));
  const by = line.combined ?? null;
  return [
    element(
      "p",
      { class: "answer-text", role: "status" },
      colouredTokens(line.tokens, line.values, scale),
      " ",
      element("b", { class: "score" }, figure(line.activation))
    ),
    by
      ? element(
          "p",
          { class: "answer-text" },
          colouredTokens(line.tokens, by, largest(by)),
          " ",
          element("span", { class: "quiet" }, "which tokens cause it")
        )
      : null,
    element(
      "p",
      { class: "quiet" },
      tokenLegend(scale),
      ` ${line.reduce ?? ""} activation over ${line.tokens.length} tokens`
    ),
    details(line)
  ];
}

/* most: the activation at which colours are full, so that it compares with the answers above. */
export function scoreBox(source, model, feature, most, text) {
  const out = element("div"),
    problem = element("p", { class: "problem", role: "alert", hidden: true });
  const unkept = note("Too long for the address of this page: a link or a reload loses the text.");
  let timer = 0,
    asked = null;
  const input = element("textarea", {
    rows: 2,
    spellcheck: "false",
    "aria-label": "your own text",
    placeholder: "The sky is blue."
  });
  const attribution = element("input", { type: "checkbox" });
  input.value = text ?? "";
  unkept.hidden = true;
  const ask = async () => {
    asked?.abort();
    asked = new AbortController();
    unkept.hidden = remember({ text: input.value });
    problem.hidden = true;
    if (!input.value) return out.replaceChildren();
    out.setAttribute("aria-busy", "true");
    try {
      const line = await source.score(
        { model, feature, text: input.value, attribute: attribution.checked },
        asked.signal
      );
      out.replaceChildren(...scored(line, most).filter(Boolean));
      out.removeAttribute("aria-busy");
    } catch (e) {
      if (e.name === "AbortError") return;
      out.removeAttribute("aria-busy");
      problem.textContent = e.message;
      problem.hidden = false;
    }
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  };
  input.addEventListener("input", soon);
  attribution.addEventListener("change", ask);
  if (input.value) soon();
  return element(
    "div",
    { class: "box" },
    input,
    element("label", null, attribution, " which tokens cause it (attribution)"),
    problem,
    unkept,
    out
  );
}
