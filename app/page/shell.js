/* shell.js — shows one view at a time in the page's frame: its title, its failures, its end. */
import { element, note } from "./dom.js";
import { link } from "./router.js";

function failure(e) {
  return [
    element("h1", null, e.status === 404 ? "Not here" : "That did not work"),
    element("p", { class: "problem", role: "alert" }, e.message),
    element("p", null, element("a", { href: link("/") }, "To the models"))
  ];
}

/* show(view, parts, query) for router.js. A view appends to what it is given, which comes on view with its
 * first nodes, unless the reader has gone on; it returns its title, or {title, leave()}. */
export function shell(source) {
  const frame = document.getElementById("main");
  let turn = 0,
    waiting = 0,
    leave = null;

  const stage = (mine) => {
    const node = element("div", { class: "view" });
    return {
      append: (...nodes) => {
        node.append(...nodes.filter(Boolean));
        if (mine !== turn || node.isConnected) return;
        clearTimeout(waiting);
        frame.replaceChildren(node);
        if (turn > 1) scrollTo(0, 0);
      }
    };
  };

  const settle = (end) => {
    leave = end?.leave ?? null;
    document.title = `${end?.title ?? end ?? "phosphene"} · phosphene`;
    frame.removeAttribute("aria-busy");
    for (const a of document.querySelectorAll("#top nav a"))
      if (a.getAttribute("href") === location.pathname) a.setAttribute("aria-current", "page");
      else a.removeAttribute("aria-current");
    if (turn > 1 && document.activeElement === document.body) frame.focus({ preventScroll: true });
  };

  return async (view, parts, query) => {
    const mine = ++turn,
      main = stage(mine);
    let end = null;
    leave?.();
    leave = null;
    frame.setAttribute("aria-busy", "true");
    clearTimeout(waiting);
    waiting = setTimeout(() => frame.replaceChildren(note("Loading …")), 300);
    try {
      if (!view) throw Object.assign(new Error(`there is no page ${parts[0]}`), { status: 404 });
      end = await view(source, parts, query, main);
    } catch (e) {
      main.append(...failure(e));
    }
    if (mine !== turn) return end?.leave?.();
    settle(end);
  };
}
