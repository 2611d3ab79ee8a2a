/* ask.js — a line to type into, and beneath it what is found. */
import { element } from "./dom.js";
import { modelTitle } from "./crumbs.js";

export function modelPicker(models, key, changed) {
  const select = element(
    "select",
    { "aria-label": "model", onchange: () => changed?.(select.value) },
    models.map((m) => element("option", { value: m.key, selected: m.key === key }, modelTitle(m)))
  );
  return select;
}

/* about: title, label and placeholder of the line, its value, controls(ask): selects that stand beside
 * it, button; answer(text): what to show, in the end. Returns the line and ask, which looks anew. */
export function asking(main, about, answer) {
  const out = element("div", { "aria-live": "polite" });
  const input = element("input", {
    type: "search",
    "aria-label": about.label,
    placeholder: about.placeholder,
    autocomplete: "off",
    spellcheck: "false"
  });
  input.value = about.value ?? "";
  const ask = async () => {
    try {
      out.replaceChildren(...(await answer(input.value)));
    } catch (e) {
      out.replaceChildren(element("p", { class: "problem", role: "alert" }, e.message));
    }
  };
  main.append(
    element("h1", null, about.title),
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
      about.controls(ask),
      element("button", { type: "submit" }, about.button)
    ),
    out
  );
  return { input, ask };
}
