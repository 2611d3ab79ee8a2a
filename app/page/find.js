/* find.js — which features like a token: the lists of all scans, searched by it. */
import { asking, modelPicker } from "./ask.js";
import { element, note, table } from "./dom.js";
import { count, figure, signed } from "./figures.js";
import { featureLink, remember } from "./router.js";
import { tokenText } from "./tokens.js";

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
  let picker;
  const { input, ask } = asking(
    main,
    {
      title: "Which features like a token?",
      label: "token",
      placeholder: " Paris, or an id",
      value: query.token,
      controls: (ask) => (picker = modelPicker(models, query.model, ask)),
      button: "Ask"
    },
    async (token) => {
      const model = picker.value;
      remember({ model, token });
      if (!token || !model) return [];
      const { tokens, rows: found } = await source.tokens(model, token);
      return [
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
      ];
    }
  );
  if (input.value) await ask();
  else input.focus();
  return "which features like a token";
}
