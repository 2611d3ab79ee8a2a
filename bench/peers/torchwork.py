"""The work of `phosphene bench` in PyTorch: what a user would write, and the best we could tune.

Every function does one repeat of a work and returns nothing; time() runs it. No hidden context stands
before the texts here, which is less work than phosphene does, and a scan keeps no statistics.
"""

import copy
import statistics
import time as clock

import torch
from peer import oracle

TOKENS, SWAP_TOKENS, CANDIDATES = 5, 12, 512


def truncated(lm, blocks):
    """The first blocks of the model alone, sharing its weights; their raw output, no final norm."""
    m = copy.copy(lm.model)
    m._modules = dict(m._modules)
    m.layers = torch.nn.ModuleList(lm.model.layers[:blocks])
    m.norm = torch.nn.Identity()
    return lambda E: m(inputs_embeds=E, use_cache=False).last_hidden_state


def time(work, seconds=1.0, least=3, most=50):
    """Median seconds of a call, after one that warms up; of that one where it takes long."""
    times, began = [], clock.monotonic()
    work()
    if clock.monotonic() - began > 10 * seconds + 1:
        return clock.monotonic() - began
    while len(times) < least or (sum(times) < seconds and len(times) < most):
        began = clock.monotonic()
        work()
        times.append(clock.monotonic() - began)
    return statistics.median(times)


# ---- descent -------------------------------------------------------------------------------------


class Author:
    """One feature at a time. Weights keep their gradients, as a model has that was just loaded."""

    rows = 1

    def __init__(self, lm, block, whole=False, frozen=False):
        self.lm, self.block, self.whole, self.frozen = lm, block, whole, frozen
        self.blocks = truncated(lm, block)
        self.e = torch.normal(0.5, 0.05, (1, TOKENS, lm.config.hidden_size))

    def output(self, e):
        if self.whole:
            return self.lm(inputs_embeds=e, use_cache=False, output_hidden_states=True).hidden_states[self.block]
        return self.blocks(e)

    def __call__(self):
        self.lm.requires_grad_(not self.frozen)
        e = self.e.detach().requires_grad_(True)
        (100 - self.output(e)[:, :, 0]).abs().sum().backward()
        self.e = (e - 0.1 * e.grad).detach()

    def close(self):
        self.lm.zero_grad()
        self.lm.requires_grad_(False)


class Batch:
    """Many features at once, through the blocks up to the tap, no gradients for weights."""

    def __init__(self, lm, block, rows, compiled=False):
        self.rows, blocks = rows, truncated(lm, block)
        self.blocks = torch.compile(blocks) if compiled else blocks
        self.e = torch.normal(0.5, 0.05, (rows, TOKENS, lm.config.hidden_size))
        self.at = torch.arange(rows) % lm.config.hidden_size

    def __call__(self):
        e = self.e.requires_grad_(True)
        X = self.blocks(e)
        O = X.gather(2, self.at[:, None, None].expand(-1, TOKENS, 1))
        (g,) = torch.autograd.grad((100 - O).abs().sum(), e)
        self.e = (e - 0.1 * g).detach()


# ---- search among tokens -------------------------------------------------------------------------


class Forward:
    """Texts of some tokens in batches through some blocks, without gradients, every text whole."""

    def __init__(self, lm, blocks, texts, tokens, rows, compiled=False):
        forward = truncated(lm, blocks)
        self.lm, self.rows, self.blocks = lm, rows, torch.compile(forward) if compiled else forward
        self.ids = torch.randint(17, lm.config.vocab_size, (texts, tokens))

    @torch.inference_mode()
    def __call__(self):
        for part in self.ids.split(self.rows):
            self.blocks(oracle.embed(self.lm, part))[:, :, 0].mean(-1)


# ---- load ----------------------------------------------------------------------------------------


def first_step(load, block, rows):
    Batch(load(), block, rows)()


def save(lm, folder):
    """The dequantised weights as a checkpoint: what loads fastest."""
    lm.save_pretrained(folder, safe_serialization=True)
    return lambda: oracle.llama.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).requires_grad_(False)


# ---- the best way --------------------------------------------------------------------------------


class Tuned:
    """The threads, attention and rows that are fastest, per unit, for make(rows); and torch.compile."""

    def __init__(self, lm, make, units, ways, compiled):
        self.lm, self.make, self.units, self.tried = lm, make, units, {}
        for way in ways:
            self.measure(way + (False,))
        for way in sorted(self.tried, key=self.tried.get)[: 2 if compiled else 0]:
            try:
                self.measure(way[:3] + (True,))
            except Exception as error:  # no compiler, or a graph it does not take
                print("torch.compile:", str(error).split("\n")[0][:100])
        self.way = min(self.tried, key=self.tried.get)

    def set(self, way):
        torch.set_num_threads(way[0])
        self.lm.config._attn_implementation = way[1]
        return self.make(way[2], way[3])

    def measure(self, way):
        work = self.set(way)
        hopeless = time(work, 0, 1) / self.units(way[2])
        if self.tried and hopeless > 2 * min(self.tried.values()):
            return
        self.tried[way] = time(work, 0.3, 2, 8) / self.units(way[2])

    def __str__(self):
        threads, attention, rows, compiled = self.way
        return f"{threads} threads, {attention}, {rows} rows{', compiled' if compiled else ''} (best of {len(self.tried)})"
