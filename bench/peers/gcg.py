"""GCG as people run it: the package nanogcg itself, with its own defaults, on a hidden activation.

nanoGCG minimises a loss of target tokens. Its mellowmax loss of a single target token is minus that
token's logit, so a model whose logit there is the activation makes it maximise the activation, with
nothing of the package rewritten: Hooked below is such a model. Its defaults stay (search width 512,
top-k 256, one replacement, no buffer, start "x x x …", ids that do not survive re-tokenisation dropped)
but two: 250 steps become the budget, and other scripts than ASCII are allowed, as phosphene does.
Candidates come as one batch and are cut here as peer.tune() found best, behind a kept context.
"""

import logging
from types import SimpleNamespace

import nanogcg
import nanogcg.gcg
import torch
from peer import WIDTH, OutOfBudget, Target

TARGET = "!"


class Hooked:
    """What nanogcg takes for a language model."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, target, tokens):
        self.target, self.tokens, self.ids = target, tokens, None
        self.logit = target.model.tokenizer.encode(TARGET, add_special_tokens=False)
        assert len(self.logit) == 1

    def get_input_embeddings(self):
        table = self.target.model.lm.get_input_embeddings()
        seen = torch.nn.Embedding.from_pretrained(table.weight, freeze=True)
        seen.register_forward_hook(self.remember)
        return seen

    def remember(self, _, inputs, output):
        """nanogcg embeds the candidates right before it asks for their logits."""
        if inputs[0].shape[-1] == self.tokens:
            self.ids = inputs[0]

    def __call__(self, inputs_embeds, **_):
        T, (B, L, _) = self.tokens, inputs_embeds.shape
        assert L == T + 1  # the text and the target
        if inputs_embeds.requires_grad:
            self.target.charge(3 * B * T)
            a = self.target.activation(self.target.run(inputs_embeds[:, :T])[0])
        else:
            a = self.target.evaluate(self.ids)[0].clone()
        logits = torch.zeros(B, L, self.logit[0] + 1)
        logits[:, L - 2, self.logit[0]] = a
        return SimpleNamespace(logits=logits)


def search(model, block, component, tokens=5, budget=100000, seed=0):
    target = Target(model, block, component, budget)
    nanogcg.gcg.tqdm = lambda steps: steps  # no bars
    logging.disable(logging.WARNING)
    config = nanogcg.GCGConfig(
        num_steps=1 << 40,
        optim_str_init=" ".join("x" * tokens),
        search_width=WIDTH,
        use_mellowmax=True,
        use_prefix_cache=False,  # ours is in Target
        allow_non_ascii=True,
        seed=seed,
        verbosity="ERROR",
    )
    try:
        nanogcg.run(Hooked(target, tokens), model.tokenizer, "", TARGET, config)
    except OutOfBudget:
        pass
    return target.result()
