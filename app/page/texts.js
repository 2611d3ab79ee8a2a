/* texts.js — all texts that were found, searched by what they have in them. */
import { asking, modelPicker } from "./ask.js";
import { element, note, table } from "./dom.js";
import { count, figure, signed } from "./figures.js";
import { featureLink, remember } from "./router.js";
import { plainText } from "./tokens.js";

const MOST_SHOWN = 200;
const ORDERS = [
  ["z", "by z"],
  ["activation", "by activation"],
  ["gap", "by gap"]
];

function textRows(found) {
  return table(
    [
      "feature",
      "text",
      { text: "activation", number: true },
      { text: "z", number: true },
      { text: "gap", number: true, title: "activation minus that of the best single token" },
      "method"
    ],
    found.map((r) =>
      element(
        "tr",
        null,
        element("td", null, element("a", { href: featureLink(r.model, r.feature) }, r.feature)),
        element(
          "td",
          { class: "wide" },
          plainText(r.text),
          r.round_trip
            ? null
            : element(
                "span",
                { class: "quiet", title: "does not tokenise back to its own tokens" },
                " ~"
              )
        ),
        element("td", { class: "number lead" }, figure(r.activation)),
        element("td", { class: "number" }, signed(r.z)),
        element("td", { class: "number" }, signed(r.gap, 2)),
        element("td", null, r.method)
      )
    )
  );
}

export async function textsView(source, _, query, main) {
  const models = await source.models();
  let picker, order;
  const { ask } = asking(
    main,
    {
      title: "Texts that were found",
      label: "text",
      placeholder: "any text",
      value: query.contains,
      controls: (ask) => {
        picker = modelPicker(models, query.model, ask);
        order = element(
          "select",
          { "aria-label": "order", onchange: () => ask() },
          ORDERS.map(([key, text]) =>
            element("option", { value: key, selected: key === query.sort }, text)
          )
        );
        return [picker, order];
      },
      button: "Look"
    },
    async (contains) => {
      const fields = { model: picker.value, contains, sort: order.value };
      remember(fields);
      const found = await source.results({ ...fields, limit: MOST_SHOWN });
      return [
        element(
          "p",
          { class: "quiet" },
          found.length === MOST_SHOWN ? `the first ${MOST_SHOWN}` : count(found.length, "text")
        ),
        found.length ? textRows(found) : note("No text that is kept has that in it.")
      ];
    }
  );
  if (models.length) await ask();
  return "texts";
}
