"""What the peers share: a feature of a GGUF model as a tuned PyTorch function of token ids.

Runs only the blocks up to the tap (all of them for a text's cross-entropy), on texts behind the hidden
context token, in batches of a size, with a kind of attention and a number of threads that tune() chose.
Counts as phosphene does: tokens of texts sent forward, a backward counts two, the context nothing.
"""

import os
import sys
import time
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

import oracle
import torch
from transformers import DynamicCache, PreTrainedTokenizerFast

WIDTH = 512
warnings.filterwarnings("ignore", category=FutureWarning)  # past_key_values is about to be renamed


class OutOfBudget(Exception):
    pass


class Model:
    """The file, once for all features."""

    def __init__(self, path):
        g = oracle.Gguf(path)
        self.lm = oracle.load(path)
        self.layers = self.lm.model.layers
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=oracle.tokenizer_of(g))
        self.context = [oracle.end_of_text(g)]
        self.special = [i for i, kind in enumerate(g.meta["tokenizer.ggml.token_type"]) if kind != 1]
        self.batch = 64

    def survive(self, ids):
        """Which texts (n,T) tokenise to themselves again."""
        fast = self.tokenizer.backend_tokenizer
        texts = fast.decode_batch(ids.tolist(), skip_special_tokens=False)
        again = fast.encode_batch_fast(texts, add_special_tokens=False)
        return torch.tensor([e.ids == row for e, row in zip(again, ids.tolist())])


class Target:
    """Mean activation of component `component` of block `block`, and what was spent on it."""

    def __init__(self, model, block, component, budget=float("inf")):
        self.model, self.block, self.component = model, block, component
        self.budget, self.spent = budget, 0
        self.candidates, self.forward_seconds, self.began = 0, 0.0, time.monotonic()
        self.best, self.best_ids = -float("inf"), None
        self.caches = {}

    def charge(self, tokens):
        if self.spent >= self.budget:
            raise OutOfBudget
        self.spent += tokens

    def run(self, E, cache=None, whole=False):
        """The tap (B,T,C) and, if whole, log-probabilities of each of the T tokens' places (B,T,V)."""
        m, lm, kept = self.model.lm.model, self.model.lm, []
        m.layers = self.model.layers if whole else self.model.layers[: self.block]
        hook = m.layers[self.block - 1].register_forward_hook(
            lambda _, inputs, out: kept.append(out[0] if isinstance(out, tuple) else out))  # fmt: skip
        try:
            if cache is None:
                front = oracle.embed(lm, self.model.context).expand(len(E), -1, -1)
                E = torch.cat((front, E), dim=1)
            X = m(inputs_embeds=E, past_key_values=cache, use_cache=cache is not None).last_hidden_state
        finally:
            hook.remove()
            m.layers = self.model.layers
        T = E.shape[1] - (len(self.model.context) if cache is None else 0)
        logp = lm.lm_head(X[:, -T - 1 : -1]).log_softmax(-1) if whole else None
        return kept[0][:, -T:], logp

    def activation(self, X):
        return X[:, :, self.component].mean(-1)

    def context_cache(self, n):
        """Keys and values of the context for n texts; run() adds to it, crop() takes that away."""
        if n not in self.caches:
            cache = DynamicCache()
            E = oracle.embed(self.model.lm, self.model.context).expand(n, -1, -1)
            self.run(E, cache)
            self.caches = {n: cache}
        return self.caches[n]

    @torch.inference_mode()
    def plain(self, E, whole=False):
        """Activation (n) and, if whole, log-probabilities (n,T,V) of a batch."""
        if whole:  # the place before the first token is the context's
            X, logp = self.run(E, whole=True)
            return self.activation(X), logp
        cache = self.context_cache(len(E))
        X, _ = self.run(E, cache)
        cache.crop(-E.shape[1])
        return self.activation(X), None

    def evaluate(self, ids, whole=False):
        """Activation (n) and, if whole, mean cross-entropy (n) of texts (n,T); remembers the best."""
        self.charge(ids.numel())
        began, a, cross = time.monotonic(), [], []
        for part in ids.split(self.model.batch):
            values, logp = self.plain(oracle.embed(self.model.lm, part), whole)
            a.append(values)
            if whole:
                cross.append(-logp.gather(-1, part[..., None])[..., 0].mean(-1))
        a = torch.cat(a)
        self.forward_seconds += time.monotonic() - began
        self.candidates += len(ids)
        i = int(a.argmax())
        if a[i] > self.best:
            self.best, self.best_ids = float(a[i]), ids[i].tolist()
        return a, torch.cat(cross) if whole else None

    def result(self):
        """The best text, scored as what its printing tokenises to."""
        text = self.model.tokenizer.decode(self.best_ids)
        ids = self.model.tokenizer.encode(text, add_special_tokens=False)
        return {"text": text, "ids": ids, "activation": score(self.model, self.block, self.component, ids),
                "spent": self.spent, "candidates": self.candidates,
                "seconds": time.monotonic() - self.began, "forward_seconds": self.forward_seconds}  # fmt: skip


def score(model, block, component, ids):
    """A plain forward pass over context and text, without caches."""
    t = Target(model, block, component)
    with torch.inference_mode():
        return float(t.activation(t.run(oracle.embed(model.lm, [ids]))[0])[0])


def tune(model, block=8, tokens=5):
    """Threads, attention and batch that evaluate candidates fastest here; returns what was tried."""
    ids = torch.randint(17, model.lm.config.vocab_size, (WIDTH, tokens))
    tried = {}
    for threads in sorted({1, os.cpu_count()}):
        torch.set_num_threads(threads)
        for attention in ("eager", "sdpa"):
            model.lm.config._attn_implementation = attention
            for model.batch in (512, 256, 128, 64, 32):
                target = Target(model, block, 0)
                target.evaluate(ids[: model.batch])
                began = time.monotonic()
                target.evaluate(ids)
                tried[threads, attention, model.batch] = time.monotonic() - began
                if tried[threads, attention, model.batch] > 2 * min(tried.values()):
                    break  # hopeless, and slow
    threads, model.lm.config._attn_implementation, model.batch = min(tried, key=tried.get)
    torch.set_num_threads(threads)
    return tried
