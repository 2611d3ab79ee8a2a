/* router.js — addresses: which view shows a path, links to it, and going there without a reload.
 *
 * The page has its paths in the address itself, the report, which is one file, behind a #.
 */
const inFile = !document.querySelector('meta[name="phosphene-token"]');
const LONGEST = 8192; /* an address that the server takes */
let shown = () => {};
let address = ""; /* what is on view */

export function link(path, query) {
  const fields = Object.entries(query ?? {}).filter(
    ([, v]) => v !== null && v !== undefined && v !== ""
  );
  const search = fields
    .map(([k, v]) => `${encodeURIComponent(k)}=${encodeURIComponent(v)}`)
    .join("&");
  return (inFile ? "#" : "") + path + (search ? "?" + search : "");
}

export const modelLink = (key) => link(`/model/${encodeURIComponent(key)}`);
export const featureLink = (key, feature) =>
  link(`/model/${encodeURIComponent(key)}/feature/${encodeURIComponent(feature)}`);
export const blockLink = (key, place, block, query) =>
  link(`/model/${encodeURIComponent(key)}/block/${block}`, {
    place: place === "block" ? null : place,
    ...query
  });

function whole() {
  return inFile ? location.hash.slice(1) || "/" : location.pathname + location.search;
}

function where() {
  const [path, search = ""] = whole().split(/\?(.*)/s);
  return { path, query: Object.fromEntries(new URLSearchParams(search)) };
}

export function go(href) {
  history.pushState(null, "", href);
  shown();
}

/* Change fields of the address without going anywhere: what is on view can be sent as a link. false:
 * the server would not take so long an address, and they are not in it. */
export function remember(fields) {
  const { path, query } = where();
  const full = link(path, { ...query, ...fields }),
    fits = full.length <= LONGEST;
  const without = Object.fromEntries(Object.keys(fields).map((name) => [name, null]));
  history.replaceState(null, "", fits ? full : link(path, { ...query, ...without }));
  address = whole();
  return fits;
}

function onClick(event) {
  const a = event.target.closest?.("a[href]");
  const plain =
    event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!a || !plain || a.target || a.hasAttribute("download")) return;
  const href = a.getAttribute("href");
  if (!href.startsWith(inFile ? "#/" : "/")) return;
  event.preventDefault();
  go(href);
}

/* A part of a path; as it stands where it is no proper address. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/* routes: [[/^pattern$/, view], …]; show(view, parts, query) draws. */
export function start(routes, show) {
  shown = () => {
    const { path, query } = where();
    address = whole();
    for (const [pattern, view] of routes) {
      const m = pattern.exec(path);
      if (m) return show(view, m.slice(1).map(decoded), query);
    }
    return show(null, [path], query);
  };
  document.addEventListener("click", onClick);
  addEventListener("popstate", () => {
    if (whole() !== address) shown();
  });
  shown();
}
