/* find.js — which features like a token: the lists of all scans, searched by it. */
import { element, note, table } from "./dom.js";
import { count, figure, signed } from "./figures.js";
import { modelTitle } from "./crumbs.js";
import { featureLink, remember } from "./router.js";
import { tokenText } from "./tokens.js";

export function modelPicker(models, key, changed) {
  const select = element(
    "select",
    { "aria-label": "model", onchange: () => changed?.(select.value) },
    models.map((m) => element("option", { value: m.key, selected: m.key === key }, modelTitle(m)))
  );
  return select;
}

function rows(key, found) {
  return table(
    [
      "feature",
      "in its list of",
      { text: "place", number: true, title: "1 is the best or worst of all tokens" },
      { text: "activation", number: true },
      { text: "z", number: true, title: "standard deviations from the mean of the vocabulary" }
    ],
    found.map((r) =>
      element(
        "tr",
        null,
        element("td", null, element("a", { href: featureLink(key, r.feature) }, r.feature)),
        element("td", null, r.end === "top" ? "best tokens" : "worst tokens"),
        element("td", { class: "number" }, r.rank + 1),
        element("td", { class: "number lead" }, figure(r.activation)),
        element("td", { class: "number" }, signed(r.z))
      )
    )
  );
}

export async function findView(source, _, query, main) {
  const models = await source.models();
  const out = element("div", { "aria-live": "polite" });
  const input = element("input", {
    type: "search",
    "aria-label": "token",
    placeholder: " Paris, or an id",
    autocomplete: "off",
    spellcheck: "false"
  });
  input.value = query.token ?? "";
  const ask = async () => {
    const model = picker.value,
      token = input.value;
    remember({ model, token });
    if (!token || !model) return out.replaceChildren();
    try {
      const { tokens, rows: found } = await source.tokens(model, token);
      out.replaceChildren(
        element(
          "p",
          { class: "quiet" },
          count(found.length, "list"),
          " of scans hold",
          tokens?.length ? [" ", tokens.map((t) => [tokenText(t.token), ` (id ${t.id}) `])] : " it"
        ),
        found.length
          ? rows(model, found)
          : note(
              "No scan that is kept lists this token among its best or worst. phosphene scan without a feature scans all of them."
            )
      );
    } catch (e) {
      out.replaceChildren(element("p", { class: "problem", role: "alert" }, e.message));
    }
  };
  const picker = modelPicker(models, query.model, ask);
  main.append(
    element("h1", null, "Which features like a token?"),
    element(
      "form",
      {
        class: "bar",
        onsubmit: (e) => {
          e.preventDefault();
          ask();
        }
      },
      input,
      picker,
      element("button", { type: "submit" }, "Ask")
    ),
    out
  );
  if (input.value) await ask();
  else input.focus();
  return "which features like a token";
}
