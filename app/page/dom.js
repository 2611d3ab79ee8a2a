/* dom.js — elements. Every text goes in as text: nothing here, and nobody else, parses HTML.
 *
 * element("a", {href, class, onclick, style: {"--k": 1}}, children…): a child is a node, a text or a
 * list of them; null and false are left out, and so are attributes that are null or false.
 */
function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(
    ...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false)
  );
  return node;
}

export function element(tag, attributes, ...children) {
  return put(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return put(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/* A row of buttons of which one is pressed; chosen(value) is called with what was pressed. */
export function choice(label, options, value, chosen) {
  const buttons = options.map(([key, text, title]) =>
    element(
      "button",
      {
        type: "button",
        title,
        "aria-pressed": key === value ? "true" : "false",
        onclick: () => {
          for (const b of buttons)
            b.setAttribute("aria-pressed", b === buttons[at(key)] ? "true" : "false");
          chosen(key);
        }
      },
      text
    )
  );
  const at = (key) => options.findIndex(([k]) => k === key);
  return element("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

export function table(heads, rows, attributes) {
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      attributes,
      element(
        "thead",
        null,
        element(
          "tr",
          null,
          heads.map((head) =>
            element(
              "th",
              { scope: "col", class: head.number ? "number" : null, title: head.title },
              head.text ?? head
            )
          )
        )
      ),
      element("tbody", null, rows)
    )
  );
}

export function note(...text) {
  return element("p", { class: "note" }, ...text);
}
