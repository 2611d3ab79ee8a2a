/* search.js — start a search, watch it, end it early, keep what it found.
 *
 * A search lives in the server under its id: reloading this page, or opening its address elsewhere, goes on watching.
 */
import { element, note } from "./dom.js";
import { count, figure, seconds } from "./figures.js";
import { answer, byRank, strongest } from "./answers.js";
import { curves } from "./charts.js";
import { modelTitle } from "./crumbs.js";
import { modelPicker } from "./find.js";
import { featureLink, go, link } from "./router.js";
import { plainText } from "./tokens.js";

const METHODS = [["auto", "auto: combines everything"], ["greedy", "greedy: append the best token"], ["descent", "descent on the embedding"], ["swap", "swap: swaps that the gradient proposes"],
  ["beam", "beam: left to right"], ["epo", "epo: from active to fluent"], ["softmax", "softmax descent"], ["pez", "pez"], ["gumbel", "gumbel"]];
const BUDGETS = [[20000, "20,000: a taste"], [100000, "100,000"], [1000000, "1,000,000: thorough"]];

function field(label, input, width, hint) {
  return element("label", { class: `field ${width}` }, element("span", null, label), input, hint ? element("small", { class: "quiet" }, hint) : null);
}

function options(list, value) {
  return list.map(([key, text]) => element("option", { value: key, selected: String(key) === String(value) }, text));
}

/* The place in a feature that an error speaks of, as on the terminal. */
function problemText(e, features) {
  if (!Number.isInteger(e.pos) || e.pos < 0) return e.message;
  const before = new TextDecoder().decode(new TextEncoder().encode(features).slice(0, e.pos));
  return `${e.message}\n${features}\n${" ".repeat([...before].length)}^`;
}

function startForm(source, models, query) {
  const model = modelPicker(models, query.model);
  const features = element("input", { required: true, spellcheck: "false", autocomplete: "off", placeholder: "block 8 [:, :, 0-4]" });
  const method = element("select", null, options(METHODS, query.method ?? "auto"));
  const tokens = element("input", { type: "number", min: 1, max: 64, value: query.tokens ?? 5 });
  const budget = element("select", null, options(BUDGETS, query.budget ?? 20000));
  const top = element("input", { type: "number", min: 1, max: 20, value: query.top ?? 3 });
  const seed = element("input", { type: "number", min: 0, value: query.seed ?? 0 });
  const problem = element("pre", { class: "problem", role: "alert", hidden: true });
  const button = element("button", { type: "submit", class: "main" }, "Start");
  features.value = query.features ?? "";
  const begin = async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    try {
      const { id } = await source.begin({ model: model.value, features: features.value, options: { method: method.value, tokens: tokens.valueAsNumber,
        budget: Number(budget.value), top: top.valueAsNumber, seed: seed.valueAsNumber } });
      go(link(`/search/${id}`));
    } catch (e) {
      problem.textContent = problemText(e, features.value);
      problem.hidden = false;
      button.disabled = false;
    }
  };
  return element("form", { class: "search-form", onsubmit: begin }, field("features", features, "features", "block 8 [:, :, 0-4]: five features, one after another; 0:4: four together; also attn, mlp, neuron, logits"),
    field("model", model, ""), field("method", method, ""), field("budget in token-forwards a feature", budget, ""), field("tokens", tokens, "small"), field("answers", top, "small"),
    field("seed", seed, "small"), button, problem);
}

const stateWord = { queued: "waiting", running: "running", done: "done", cancelled: "cancelled", failed: "failed" };

function listed(s) {
  return element("li", null, element("a", { href: link(`/search/${s.id}`) }, s.features ?? s.id), " ",
    element("span", { class: `state ${s.state}` }, stateWord[s.state] ?? s.state), s.kept ? element("span", { class: "state done" }, "kept") : null);
}

export async function searchesView(source, _, query, main) {
  const [models, searches] = await Promise.all([source.models(), source.searches()]);
  main.append(element("h1", null, "Search"), startForm(source, models, query));
  if (searches?.length) main.append(element("h2", null, "Searches of this server"), element("ul", { class: "plain" }, searches.map(listed)));
  return "search";
}

/* What is known of a search, kept up to date by its events. */
function watchPanel(source, id, model) {
  const parts = { state: element("span", { class: "state" }), bar: element("progress", { max: 1, value: 0, "aria-label": "progress" }),
    status: element("p", { class: "quiet" }), current: element("p", { class: "answer-text current" }), found: element("div"), problem: element("p", { class: "problem", role: "alert", hidden: true }) };
  const act = (what) => async (event) => {
    event.target.disabled = true;
    try {
      await source[what](id);
    } catch (e) {
      parts.problem.textContent = e.message;
      parts.problem.hidden = false;
      event.target.disabled = false;
      return;
    }
    if (what === "keep") event.target.textContent = "Kept";
  };
  parts.cancel = element("button", { type: "button", onclick: act("cancel") }, "Cancel");
  parts.keep = element("button", { type: "button", class: "main", onclick: act("keep"), hidden: true }, "Keep in the store");
  parts.curve = curves([{ name: "best so far", values: [] }], "best activation so far");
  parts.curve.node.hidden = true;
  parts.node = [element("div", { class: "bar" }, parts.state, parts.cancel, parts.keep), parts.bar, parts.status, parts.problem, parts.current, parts.curve.node, parts.found];
  parts.show = (results) => {
    const groups = Map.groupBy ? Map.groupBy(results, (r) => r.feature) : results.reduce((m, r) => m.set(r.feature, [...(m.get(r.feature) ?? []), r]), new Map());
    const most = strongest(results) || 1;
    parts.found.replaceChildren(...[...groups].map(([feature, list]) => element("section", null,
      element("h2", null, element("a", { href: featureLink(model, feature) }, feature)),
      element("ol", { class: "answers" }, byRank(list).map((r, i) => answer(r, i + 1, most))))));
  };
  parts.settle = (s) => {
    const over = s.state !== "running" && s.state !== "queued";
    parts.state.textContent = stateWord[s.state] ?? s.state;
    parts.state.className = `state ${s.state}`;
    parts.cancel.hidden = over;
    parts.bar.hidden = over;
    parts.keep.hidden = !over || !s.results?.length;
    if (s.kept) Object.assign(parts.keep, { textContent: "Kept", disabled: true });
    if (over) parts.current.replaceChildren();
    if (!s.error) return;
    parts.problem.textContent = s.error;
    parts.problem.hidden = false;
  };
  return parts;
}

function follow(source, id, state, parts) {
  const results = [...(state.results ?? [])], best = [...(state.curve ?? [])];
  const events = source.events(id);
  const on = (name, take) => events.addEventListener(name, (e) => take(JSON.parse(e.data)));
  const grow = (v) => {
    if (!Number.isFinite(v)) return;
    best.push(v);
    parts.curve.node.hidden = best.length < 2;
    if (best.length >= 2) parts.curve.update([{ name: "best so far", values: [...best] }]);
  };
  on("progress", (p) => {
    if (p.total) parts.bar.value = p.done / p.total;
    parts.status.textContent = [p.what, p.total ? `${Math.floor((100 * p.done) / p.total)} %` : null, p.seconds ? seconds(p.seconds) : null].filter(Boolean).join(" · ");
  });
  on("current", (c) => {
    parts.current.replaceChildren(plainText(c.text ?? ""), " ", element("b", { class: "score" }, figure(c.activation?.text ?? c.activation)),
      element("span", { class: "quiet" }, `  ${c.feature ?? ""}, best so far`));
    grow(c.activation?.text ?? c.activation);
  });
  on("result", (r) => {
    const same = results.findIndex((x) => x.feature === r.feature && x.rank === r.rank && x.sign === r.sign);
    if (same >= 0) results[same] = r;
    else results.push(r);
    parts.show(results);
  });
  on("done", async () => {
    events.close();
    const last = await source.search(id);
    parts.settle(last);
    if (last.results?.length) parts.show(last.results);
  });
  return events;
}

export async function searchView(source, [id], _, main) {
  const [state, models] = await Promise.all([source.search(id), source.models()]);
  const parts = watchPanel(source, id, state.model);
  const model = models.find((m) => m.key === state.model);
  main.append(element("h1", null, state.features ?? `search ${id}`),
    element("p", { class: "quiet" }, [model ? modelTitle(model) : null, state.options?.method, state.options?.tokens ? count(state.options.tokens, "token") : null].filter(Boolean).join(" · ")),
    ...parts.node,
    element("p", { class: "links" }, element("a", { href: link("/search", { model: state.model, features: state.features, ...state.options }) }, "Search again with other settings")),
    note("This address goes on watching after a reload. What is not kept is gone when the server ends."));
  parts.settle(state);
  if (state.results?.length) parts.show(state.results);
  if (state.state === "running" || state.state === "queued") {
    const events = follow(source, id, state, parts);
    return { title: `search · ${state.features ?? id}`, leave: () => events.close() };
  }
  return `search · ${state.features ?? id}`;
}
