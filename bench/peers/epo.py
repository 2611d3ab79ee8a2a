"""EPO (Thompson et al. 2024, 2402.01702) as a plain PyTorch loop, written from the paper.

Its authors' package dreamy is not in the Python registry (what has that name there analyses reports of
dreams), so the algorithm and its defaults are followed: a population of 8, one member per fluency
weight lambda from 0.1 to 10, log-spaced; the gradient of activation - lambda × cross-entropy with
respect to the one-hot tokens proposes 512 tokens per position; 32 children each with one random swap;
the best child for every lambda is its next member; every 30 steps all start again from one member.
The cross-entropy needs all blocks, so all are run. Children that do not survive re-tokenisation are
dropped before they are paid for. The answer is the strongest text evaluated, whatever its fluency.
"""

import torch
from peer import OutOfBudget, Target, oracle

POPULATION, CHILDREN, TOP_K, RESTART = 8, 32, 512, 30
LAMBDA = torch.logspace(-1, 1, POPULATION)


def slopes(target, ids):
    """d(activation - lambda × cross-entropy) / d(one-hot) (P,T,V), the target's side of it included."""
    target.charge(3 * ids.numel())
    W = target.model.lm.get_input_embeddings().weight
    E = oracle.embed(target.model.lm, ids).requires_grad_(True)
    X, logp = target.run(E, whole=True)
    cross = -logp.gather(-1, ids[..., None])[..., 0].mean(-1)
    (dE,) = torch.autograd.grad((target.activation(X) - LAMBDA * cross).sum(), E)
    return dE @ W.T + LAMBDA[:, None, None] / ids.shape[1] * logp.detach()


def children(target, ids):
    """Of every member CHILDREN variants of one token, those that survive their printing."""
    slope = slopes(target, ids)
    slope[..., target.model.special] = -float("inf")
    top = slope.topk(TOP_K, dim=-1).indices
    out = ids.repeat_interleave(CHILDREN, 0)
    rows = torch.arange(len(out))
    at = torch.randint(ids.shape[1], (len(out),))
    out[rows, at] = top[rows // CHILDREN, at, torch.randint(TOP_K, (len(out),))]
    return out[target.model.survive(out)]


def start(target, tokens):
    """One random text that survives its printing, for all members: each takes its own way from there."""
    while True:
        ids = torch.randint(target.model.lm.config.vocab_size, (64, tokens))
        ids = ids[~torch.isin(ids, torch.tensor(target.model.special)).any(-1)]
        ids = ids[target.model.survive(ids)]
        if len(ids):
            return ids[:1].repeat(POPULATION, 1)


def search(model, block, component, tokens=5, budget=100000, seed=0):
    torch.manual_seed(seed)
    target = Target(model, block, component, budget)
    ids, step = start(target, tokens), 0
    try:
        while True:
            found = children(target, ids)
            if not len(found):
                continue
            a, cross = target.evaluate(found, whole=True)
            best = (a - LAMBDA[:, None] * cross).argmax(-1)
            step += 1
            ids = found[best]
            if step % RESTART == 0:
                ids = ids[torch.randint(POPULATION, (1,))].repeat(POPULATION, 1)
    except OutOfBudget:
        pass
    return target.result()
