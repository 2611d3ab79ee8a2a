/* figures.js — how numbers, features and models are written. */
export function figure(v, digits = 2) {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  const size = Math.abs(v);
  const text =
    size !== 0 && (size < 0.5 * 10 ** -digits || size >= 1e7)
      ? size.toExponential(1)
      : size.toFixed(size >= 1000 ? 0 : size >= 100 ? Math.min(digits, 1) : digits);
  return (v < 0 ? "−" : "") + text;
}

export function signed(v, digits = 1) {
  return v > 0 && Number.isFinite(v) ? "+" + figure(v, digits) : figure(v, digits);
}

export function count(n, one, several = one + "s") {
  return `${(n ?? 0).toLocaleString("en")} ${n === 1 ? one : several}`;
}

export function seconds(s) {
  return s < 90
    ? `${s.toFixed(s < 10 ? 1 : 0)} s`
    : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
}

/* {only, place, block, tokens, component} of a canonical form of one component, else null. */
export function parsed(feature) {
  const m =
    /^(only )?(?:block (\d+)(?: (attn|mlp|neuron))?|(embed|final|logits)) \[:, ([^,\]]+), (\d+)\]$/.exec(
      feature
    );
  if (!m) return null;
  return {
    only: m[1] ?? "",
    place: m[1] ? `only ${m[3] ?? m[4] ?? "block"}` : (m[3] ?? m[4] ?? "block"),
    block: Number(m[2] ?? 0),
    tokens: m[5],
    component: Number(m[6])
  };
}

/* "block 8 mlp", "only block 8", "logits" */
export function tapName(place, block) {
  const only = place.startsWith("only ") ? "only " : "";
  const at = place.slice(only.length);
  if (at === "embed" || at === "final" || at === "logits") return only + at;
  if (at === "other") return "sums, directions and latents";
  return `${only}block ${block}${at === "block" ? "" : " " + at}`;
}

export function featureName(place, block, component, tokens = ":") {
  return `${tapName(place, block)} [:, ${tokens}, ${component}]`;
}

/* What people call a model: its file's name; the quantisation stands beside it. */
export function modelName(model) {
  const file = (model.file ?? "")
    .split("/")
    .pop()
    .replace(/\.gguf$/i, "");
  const name = /\/snapshots\//.test(model.file ?? "") ? model.name : file || model.name || "model";
  const quant = model.quant && name.toUpperCase().endsWith(model.quant.toUpperCase());
  return quant ? name.slice(0, -model.quant.length - 1) : name;
}

export function largest(values) {
  let most = 0;
  for (const v of values) if (Number.isFinite(v) && Math.abs(v) > most) most = Math.abs(v);
  return most;
}
