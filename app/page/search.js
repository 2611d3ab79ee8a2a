/* search.js — start a search, watch it, end it early, keep what it found.
 *
 * A search lives in the server under its id: reloading this page, or opening its address elsewhere,
 * goes on watching.
 */
import { element, note } from "./dom.js";
import { count, figure, seconds } from "./figures.js";
import { answer, byRank, strongest } from "./answers.js";
import { curves } from "./charts.js";
import { modelTitle } from "./crumbs.js";
import { modelPicker } from "./ask.js";
import { featureLink, go, link } from "./router.js";
import { plainText } from "./tokens.js";

const METHODS = [
  ["auto", "auto: combines everything"],
  ["greedy", "greedy: append the best token"],
  ["descent", "descent on the embedding"],
  ["swap", "swap: swaps that the gradient proposes"],
  ["beam", "beam: left to right"],
  ["epo", "epo: from active to fluent"],
  ["softmax", "softmax descent"],
  ["pez", "pez"],
  ["gumbel", "gumbel"]
];
const BUDGETS = [
  [20000, "20,000: a taste"],
  [100000, "100,000"],
  [1000000, "1,000,000: thorough"]
];

function field(label, input, width, hint) {
  return element(
    "label",
    { class: `field ${width}` },
    element("span", null, label),
    input,
    hint ? element("small", { class: "quiet" }, hint) : null
  );
}

function options(list, value) {
  return list.map(([key, text]) =>
    element("option", { value: key, selected: String(key) === String(value) }, text)
  );
}

/* The place in a feature that an error speaks of, as on the terminal. */
function problemText(e, features) {
  if (!Number.isInteger(e.pos) || e.pos < 0) return e.message;
  const before = new TextDecoder().decode(new TextEncoder().encode(features).slice(0, e.pos));
  return `${e.message}\n${features}\n${" ".repeat([...before].length)}^`;
}

function startForm(source, models, limits, query) {
  const model = modelPicker(models, query.model);
  const features = element("input", {
    required: true,
    spellcheck: "false",
    autocomplete: "off",
    placeholder: "block 8 [:, :, 0-4]"
  });
  const method = element("select", null, options(METHODS, query.method ?? "auto"));
  const whole = ([min, max], value) => element("input", { type: "number", min, max, value });
  const tokens = whole(limits.tokens, query.tokens ?? 5);
  const budget = element("select", null, options(BUDGETS, query.budget ?? 20000));
  const top = whole(limits.top, query.top ?? 3);
  const seed = element("input", { type: "number", min: 0, value: query.seed ?? 0 });
  const problem = element("pre", { class: "problem", role: "alert", hidden: true });
  const button = element("button", { type: "submit", class: "main" }, "Start");
  features.value = query.features ?? "";
  const begin = async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    try {
      const { id } = await source.begin({
        model: model.value,
        features: features.value,
        options: {
          method: method.value,
          tokens: tokens.valueAsNumber,
          budget: Number(budget.value),
          top: top.valueAsNumber,
          seed: seed.valueAsNumber
        }
      });
      go(link(`/search/${id}`));
    } catch (e) {
      problem.textContent = problemText(e, features.value);
      problem.hidden = false;
      button.disabled = false;
    }
  };
  return element(
    "form",
    { class: "search-form", onsubmit: begin },
    field(
      "features",
      features,
      "features",
      "block 8 [:, :, 0-4]: five features, one after another; 0:4: four together; also attn, mlp, neuron, logits"
    ),
    field("model", model, ""),
    field("method", method, ""),
    field("budget in token-forwards a feature", budget, ""),
    field("tokens", tokens, "small"),
    field("answers", top, "small"),
    field("seed", seed, "small"),
    button,
    problem
  );
}

const STATES = {
  queued: "waiting",
  running: "running",
  done: "done",
  cancelled: "cancelled",
  failed: "failed"
};

const isOver = (s) => s.state !== "running" && s.state !== "queued";
const namesOf = (s) =>
  s.features.length > 3
    ? `${s.features.slice(0, 2).join(", ")} … ${s.features.at(-1)}`
    : s.features.join(", ");

function listed(s) {
  return element(
    "li",
    null,
    element("a", { href: link(`/search/${s.id}`) }, namesOf(s)),
    " ",
    element("span", { class: `state ${s.state}` }, STATES[s.state] ?? s.state),
    " ",
    element(
      "span",
      { class: "quiet" },
      [s.method, count(s.results, "text"), s.kept ? "kept" : null].filter(Boolean).join(" · ")
    )
  );
}

export async function searchesView(source, _, query, main) {
  const [models, searches, about] = await Promise.all([
    source.models(),
    source.searches(),
    source.about()
  ]);
  main.append(
    element("h1", null, "Search"),
    startForm(source, models, about.search.limits, query)
  );
  if (searches?.length)
    main.append(
      element("h2", null, "Searches of this server"),
      element("ul", { class: "plain" }, searches.map(listed))
    );
  return "search";
}

function grouped(results) {
  const groups = new Map();
  for (const r of results) groups.set(r.feature, [...(groups.get(r.feature) ?? []), r]);
  return [...groups];
}

function foundTexts(model, results) {
  return grouped(results).map(([feature, list]) =>
    element(
      "section",
      null,
      element("h2", null, element("a", { href: featureLink(model, feature) }, feature)),
      element(
        "ol",
        { class: "answers" },
        byRank(list).map((r, i) => answer(r, i + 1, strongest(list) || 1))
      )
    )
  );
}

/* The best so far by glimpse of a search of that sign, a line for each feature: of texts, and only where
 * there are none of embeddings, which reach what no text does. */
function climbs(glimpses, sign) {
  const better = sign === "-" ? Math.min : Math.max;
  return grouped(glimpses)
    .slice(-5)
    .map(([feature, list]) => {
      const texts = list.some((g) => g.activation.ids !== undefined)
        ? list.filter((g) => g.activation.ids !== undefined)
        : list;
      const heights = texts.map((g) => g.activation.ids ?? g.activation.soft);
      let [best] = heights;
      return { name: feature, values: heights.map((h) => (best = better(best, h))) };
    });
}

/* What is on view of a search. tell(brief): how it stands; lost(): the server has it no more; glimpse(g),
 * found(line): one more of these; texts(), climb(): draw what was known from the beginning. store: that
 * what is found may be kept in, if any. */
function watchPanel(source, id, state, store) {
  const results = state.lines.filter((line) => line.type === "dream"),
    glimpses = [...state.glimpses];
  const word = element("span", { class: "state" }),
    bar = element("progress", { max: 1, value: 0, "aria-label": "progress" });
  const status = element("p", { class: "quiet" }),
    current = element("p", { class: "answer-text current", "aria-live": "polite" });
  const problem = element("p", { class: "problem", role: "alert", hidden: true }),
    texts = element("div");
  const curve = curves([], "best activation so far");

  const act = (what) => async () => {
    try {
      tell(await source[what](id));
    } catch (e) {
      problem.textContent = e.message;
      problem.hidden = false;
    }
  };
  const cancel = element("button", { type: "button", onclick: act("cancel") }, "Cancel");
  const keep = element(
    "button",
    { type: "button", class: "main", onclick: act("keep") },
    "Keep in the store"
  );

  function tell(s) {
    const over = isOver(s);
    word.textContent = STATES[s.state] ?? s.state;
    word.className = `state ${s.state}`;
    cancel.hidden = bar.hidden = over;
    keep.hidden = !store || (over && s.results === 0);
    keep.disabled = s.kept || s.keep;
    keep.textContent = s.kept ? "Kept in the store" : s.keep ? "Will be kept" : "Keep in the store";
    bar.value = s.done;
    status.textContent = [
      over ? null : s.stage,
      s.state === "queued" && s.before ? `behind ${count(s.before, "other")}` : null,
      s.seconds ? seconds(s.seconds) : null
    ]
      .filter(Boolean)
      .join(" · ");
    current.hidden = over;
    problem.textContent = s.error ?? "";
    problem.hidden = !s.error;
  }
  function lost() {
    word.textContent = "lost";
    word.className = "state failed";
    status.textContent = "";
    problem.textContent =
      "The server does not know this search any more: what is not kept of it stands here only.";
    problem.hidden = false;
    cancel.hidden = keep.hidden = bar.hidden = true;
  }
  function waiting(text) {
    status.textContent = text;
  }
  function climb() {
    curve.node.hidden = glimpses.length < 2;
    if (glimpses.length >= 2) curve.update(climbs(glimpses, state.sign));
  }
  return {
    tell,
    lost,
    waiting,
    climb,
    node: [
      element("div", { class: "bar" }, word, element("span", { class: "links" }, cancel, keep)),
      bar,
      status,
      problem,
      current,
      curve.node,
      texts
    ],
    glimpse(g) {
      glimpses.push(g);
      const strength = g.activation.ids ?? g.activation.soft;
      current.replaceChildren(
        g.text === undefined
          ? element("span", { class: "quiet" }, "an embedding, no text yet")
          : plainText(g.text),
        " ",
        element("b", { class: "score" }, figure(strength)),
        element("span", { class: "quiet" }, `  ${g.feature}`)
      );
      climb();
    },
    found(line) {
      results.push(line);
      texts.replaceChildren(...foundTexts(state.model, results));
    },
    texts: () => texts.replaceChildren(...foundTexts(state.model, results))
  };
}

/* Its events begin with all that was found before: what is known already is left out. */
function follow(source, id, state, panel) {
  const events = source.events(id);
  let lines = state.lines.length,
    glimpses = state.glimpses.length;
  const on = (name, take) => events.addEventListener(name, (e) => take(JSON.parse(e.data)));
  on("run", () => {
    if (lines > 0) lines--;
  });
  on("result", (line) => {
    if (lines > 0) lines--;
    else panel.found(line);
  });
  on("current", (g) => {
    if (glimpses > 0) glimpses--;
    else panel.glimpse(g);
  });
  on("progress", panel.tell);
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) panel.lost();
    else panel.waiting("the server does not answer; trying again");
  };
  on("done", (s) => {
    events.close();
    panel.tell(s);
  });
  return events;
}

export async function searchView(source, [id], _, main) {
  const [state, models, about] = await Promise.all([
    source.search(id),
    source.models(),
    source.about()
  ]);
  const panel = watchPanel(source, id, state, about.store),
    model = models.find((m) => m.key === state.model);
  main.append(
    element("h1", null, namesOf(state)),
    element(
      "p",
      { class: "quiet" },
      [
        model ? modelTitle(model) : null,
        state.method,
        state.options?.tokens ? count(state.options.tokens, "token") : null
      ]
        .filter(Boolean)
        .join(" · ")
    ),
    ...panel.node,
    element(
      "p",
      { class: "links" },
      element(
        "a",
        {
          href: link("/search", {
            model: state.model,
            features: state.features.join(", "),
            ...state.options
          })
        },
        "Search again with other settings"
      )
    ),
    note(
      `This address goes on watching after a reload. ${about.store ? "What is not kept" : "There is no store to keep anything in: it"} is gone when the server ends.`
    )
  );
  panel.tell(state);
  panel.texts();
  panel.climb();
  const title = `search · ${namesOf(state)}`;
  if (isOver(state)) return title;
  const events = follow(source, id, state, panel);
  return { title, leave: () => events.close() };
}
