"""Complete and greedy search by brute force in PyTorch: every token of the vocabulary, no cached keys or values.

Used by check_real.py; compares with phosphene's results. Ids may differ only where two values are a tie.
"""

from functools import partial

import numpy as np
import torch

import oracle
from oracle import Feature, Tap

BLOCKS = (1, 2, 8, 17, 30)
FEATURES = 8  # of each block
LISTED = 5
TIE = 1e-4  # two values nearer than this may change places; relative to the larger
LIMIT = 1e-3  # of a value, relative to it
BATCH = 512  # sequences at once
GREEDY_BLOCK, GREEDY_TOKENS = 8, 3


# ---- PyTorch -----------------------------------------------------------------------------------


def last_states(model, begin, blocks, tokens):
    """For each token of `tokens` behind the ids `begin`: block -> (len(tokens), C), its state after that block."""
    layers, depth = model.model.layers, max(blocks)
    kept = {b: [] for b in blocks}

    def keep(block):
        return lambda _, inputs, output: kept[block].append((output[0] if isinstance(output, tuple) else output)[:, -1])

    hooks = [layers[b - 1].register_forward_hook(keep(b)) for b in blocks]
    model.model.layers = layers[:depth]
    try:
        for part in torch.as_tensor(tokens).split(BATCH):
            front = torch.tensor(begin, dtype=torch.long).expand(len(part), -1)
            model.model(input_ids=torch.cat((front, part[:, None]), dim=1), use_cache=False)
    finally:
        model.model.layers = layers
        for hook in hooks:
            hook.remove()
    return {b: torch.cat(x) for b, x in kept.items()}


def held_back(seed, width):
    """Block -> the features of it that are compared."""
    return {b: sorted(np.random.default_rng([seed, b]).choice(width, FEATURES, replace=False).tolist()) for b in BLOCKS}


def greedy(model, context, first, component, ordinary):
    """The ids of a greedy search by brute force, its first step given as values (V), and all values of each step."""
    ids, steps = [], [first[ordinary]]
    for _ in range(1, GREEDY_TOKENS):
        ids.append(ordinary[int(steps[-1].argmax())])
        X = last_states(model, [*context, *ids], (GREEDY_BLOCK,), ordinary)
        steps.append(X[GREEDY_BLOCK][:, component])
    return [*ids, ordinary[int(steps[-1].argmax())]], steps


# ---- comparing ---------------------------------------------------------------------------------


def relative(x, exact):
    return abs(float(x) - float(exact)) / abs(float(exact))


def compare_list(name, got, values, falling, worst):
    """One list of a scan against all values (V): the same ids but for ties, the same numbers."""
    want = torch.sort(values, descending=falling, stable=True).indices[:LISTED].tolist()
    if len(got) != LISTED or len({entry["id"] for entry in got}) != LISTED:
        raise ValueError(f"{name}: {got} are not {LISTED} tokens")
    for entry, id in zip(got, want):
        if relative(values[entry["id"]], values[id]) > TIE:
            raise ValueError(f"{name}: {entry} where PyTorch has {id} with {float(values[id]):.6f}")
        d = relative(entry["activation"], values[entry["id"]])
        worst["scan", "value"] = max(worst.get(("scan", "value"), 0), d)
        if not d <= LIMIT:
            raise ValueError(f"{name}: {entry}, PyTorch gives {float(values[entry['id']]):.6f}")
    swapped = sum(entry["id"] != id for entry, id in zip(got, want))
    worst["scan", "ids that changed places"] = worst.get(("scan", "ids that changed places"), 0) + swapped
    return LISTED


def compare_scan(context, block, features, states, lines, worst):
    """Raises ValueError at the first contradiction; returns the number of list entries compared."""
    run, results = lines[0], lines[1:]
    if run["context"] != context:
        raise ValueError(f"context {run['context']}, expected {context}")
    names = [str(Feature(Tap("block", block), f, f + 1)) for f in features]
    if [r["feature"] for r in results] != names:
        raise ValueError(f"features {[r['feature'] for r in results]}")
    count = 0
    for r, f in zip(results, features):
        values = states[block][:, f]
        if r["n"] != len(values):
            raise ValueError(f"{r['feature']}: n {r['n']}, expected {len(values)}")
        for field, falling in (("top", True), ("bottom", False)):
            count += compare_list(f"{r['feature']} {field}", r[field], values, falling, worst)
    return count


def compare_greedy(want, steps, ordinary, lines, worst):
    """Ids token for token; a tie within TIE ends the comparison, since what follows depends on it."""
    ids, values = lines[1]["ids"], lines[1]["values"]
    if len(ids) != GREEDY_TOKENS:
        raise ValueError(f"{len(ids)} ids, expected {GREEDY_TOKENS}")
    for t, (id, step) in enumerate(zip(want, steps)):
        best = float(step.max())
        got = float(step[ordinary.index(ids[t])])
        if ids[t] != id and relative(got, best) > TIE:
            raise ValueError(f"token {t} is {ids[t]} with {got:.6f}, PyTorch has {id} with {best:.6f}")
        d = relative(values[t], got)
        worst["greedy", "value"] = max(worst.get(("greedy", "value"), 0), d)
        if not d <= LIMIT:
            raise ValueError(f"token {t}: {values[t]}, PyTorch gives {got:.6f}")
        if ids[t] != id:
            return t + 1
    return GREEDY_TOKENS


def ordinary_tokens(g):
    """As phosphene counts them: of type normal, and not empty."""
    kinds, tokens = g.meta["tokenizer.ggml.token_type"], g.meta["tokenizer.ggml.tokens"]
    return [i for i, (kind, token) in enumerate(zip(kinds, tokens)) if kind == 1 and token]


# ---- jobs --------------------------------------------------------------------------------------


def jobs(args, g, model, context):
    """(command, a function of its lines and of worst that returns how many numbers agree), for the kinds asked for."""
    V = model.config.vocab_size
    features = held_back(args.seed, model.config.hidden_size)
    ordinary = ordinary_tokens(g)
    for begin in ([], context):
        states = last_states(model, begin, BLOCKS, range(V))
        bos = [] if begin else ["--bos", "off"]
        for block in BLOCKS if "scan" in args.kinds else ():
            spec = ",".join(str(Feature(Tap("block", block), f, f + 1)) for f in features[block])
            cmd = ["scan", spec, "--top", str(LISTED), "--no-cache", *bos]
            yield cmd, partial(compare_scan, begin, block, features[block], states)
        for f in features[GREEDY_BLOCK][:2] if "greedy" in args.kinds and begin else ():
            want, steps = greedy(model, begin, states[GREEDY_BLOCK][:, f], f, ordinary)
            cmd = ["dream", str(Feature(Tap("block", GREEDY_BLOCK), f, f + 1)), "--method", "greedy", "--tokens", str(GREEDY_TOKENS), "--no-cache"]  # fmt: skip
            yield cmd, partial(compare_greedy, want, steps, ordinary)
