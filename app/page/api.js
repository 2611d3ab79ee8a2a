/* api.js — the server's answers. The report has the same calls over its own lines (report.js). */
async function ask(path, options) {
  const answer = await fetch(path, options).catch((e) => {
    throw e.name === "AbortError"
      ? e
      : new Error("the server does not answer; is phosphene serve still running?");
  });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  throw Object.assign(new Error(body.error ?? `${answer.status} ${answer.statusText}`), {
    pos: body.pos,
    status: answer.status
  });
}

function get(path, query) {
  const fields = Object.entries(query ?? {}).filter(
    ([, v]) => v !== null && v !== undefined && v !== ""
  );
  return ask(fields.length ? `${path}?${new URLSearchParams(fields)}` : path);
}

function post(path, body, signal) {
  const token = document.querySelector('meta[name="phosphene-token"]').content;
  return ask(path, {
    method: "POST",
    signal,
    body: JSON.stringify(body ?? {}),
    headers: { "Content-Type": "application/json", "X-Phosphene-Token": token }
  });
}

export const api = {
  live: true,
  about: () => get("/api/about"),
  models: async () => (await get("/api/models")).models.map((m) => ({ ...m, key: m.model })),
  blocks: async (model) => (await get("/api/blocks", { model })).blocks,
  map: (model, place, block) => get("/api/map", { model, place, block }),
  feature: (model, feature) => get("/api/feature", { model, feature }),
  results: async (query) => (await get("/api/results", query)).rows,
  tokens: (model, token) => get("/api/tokens", { model, token }),
  compare: (a, b, place, block) => get("/api/compare", { a, b, place, block }),
  score: (body, signal) => post("/api/score", body, signal),
  across: (body) => post("/api/across", body),
  searches: async () => (await get("/api/search")).searches,
  search: (id) => get(`/api/search/${id}`),
  begin: (body) => post("/api/search", body),
  cancel: (id) => post(`/api/search/${id}/cancel`),
  keep: (id) => post(`/api/search/${id}/keep`),
  events: (id) => new EventSource(`/api/search/${id}/events`)
};
