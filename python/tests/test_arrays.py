"""Activations, gradients and sessions: arrays of NumPy's that the library reads and writes in place."""
import gc
import weakref

import numpy as np
import pytest
from conftest import TINY, tool

import phosphene

TEXT = "abcab cab"


def test_activations_are_what_score_says(model):
    for tap, width in (("block 2", 60), ("block 1 neuron", 88), ("embed", 60), ("logits", 300),
                       ("blocks.0.hook_attn_out", 60)):
        X = model.activations(TEXT, tap)
        assert X.dtype == np.float32 and X.shape[1] == width and X.base is None
        for component in (0, width - 1):
            line = tool("score", f"{tap} [:, :, {component}]", TEXT)[0]
            assert X[:, component].astype(float).tolist() == [float(np.float32(v)) for v in line["values"]]


def test_several_taps_in_one_pass(model):
    taps = ["block 2 mlp", "embed", "block 1"]
    together = model.activations(TEXT, taps, bos="off", prefix="ab")
    for tap in taps:
        assert np.array_equal(together[tap], model.activations(TEXT, tap, bos="off", prefix="ab"))


def test_the_gradient_is_that_of_attribute(model):
    for spec in ("block 2 [:, :, 3]", "block 2 [:, -1, 3] - 0.5*block 1 mlp [:, -1, 7]", "block 1 neuron [:, :, 4]"):
        dE, E, line = model.gradient(spec, TEXT), model.embed(TEXT), tool("attribute", spec, TEXT)[0]
        assert dE.shape == E.shape
        np.testing.assert_allclose(np.linalg.norm(dE, axis=1), line["grad_norm"], rtol=1e-6)
        np.testing.assert_allclose((dE.astype(float) * E).sum(1), line["grad_x_input"], rtol=1e-6, atol=1e-9)


def test_the_gradient_is_that_of_differences():
    """Central differences of the model in double. Their error is a third of what halving the step changes,
    or less, and what float32 rounds of X, 6e-8 of its size, divided by the step."""
    model, h = phosphene.Model(TINY, backend="ref64"), 4e-4
    dE, E = model.gradient("block 2 [:, :, 3]", TEXT), model.embed(TEXT)
    rng = np.random.default_rng(0)
    with model.session("block 2", tokens=len(E)) as session:
        rounding = 4 * 6e-8 * np.abs(session.forward(E)).max() / h

        def slope(v, step):
            high, low = (session.forward(E + sign * step * v)[:, 3].astype(float).mean() for sign in (1, -1))
            return (high - low) / (2 * step)

        for _ in range(4):
            v = rng.standard_normal(E.shape).astype(np.float32)
            rough, fine, exact = slope(v, h), slope(v, h / 2), float((dE * v).sum())
            assert abs(fine - exact) < abs(rough - fine) + rounding < 0.1 * abs(exact)


def test_a_session_neither_copies_nor_converts(model):
    tokens, rows = 6, 3
    E = np.random.default_rng(1).standard_normal((rows, tokens, 60)).astype(np.float32)
    with model.session("block 2", rows=rows, tokens=tokens, gradient=True) as session:
        X, dE = np.full((rows, tokens, 60), np.nan, np.float32), np.full((rows, tokens, 60), np.nan, np.float32)
        assert session.forward(E, out=X) is X and np.isfinite(X).all()
        assert np.array_equal(session.forward(E[1]), X[1]), "a row does not depend on its batch mates"
        session.forward(E)
        dX = np.zeros_like(X)
        dX[1, -1, 5] = 1
        assert session.backward(dX, out=dE) is dE
        assert not dE[0].any() and not dE[2].any() and dE[1].any()
        twice = session.backward(2 * dX)
        np.testing.assert_allclose(twice, 2 * dE, rtol=1e-5, atol=1e-7)
        for wrong in (X[:, :, ::2], X[:2], X.astype(float)):
            with pytest.raises(ValueError, match="dense, writeable float32"):
                session.forward(E, out=wrong)


def test_a_session_refuses_what_does_not_fit(model):
    with model.session("block 1", tokens=4) as session:
        for shape in ((3, 60), (2, 4, 60), (0, 4, 60), (4, 59), (60,), (1, 1, 4, 60)):
            with pytest.raises(ValueError, match="shape"):
                session.forward(np.zeros(shape, np.float32))
        with pytest.raises(ValueError, match="gradient=True"):
            session.backward(np.zeros((4, 60)))
    with pytest.raises(ValueError, match="closed"):
        session.forward(np.zeros((4, 60)))
    with model.session("block 1", tokens=4, gradient=True) as session, pytest.raises(ValueError, match="last forward"):
        session.backward(np.zeros((4, 60)))


def test_embeddings_and_context(model):
    assert model.embed([64, 65]).shape == (2, 60)
    assert np.array_equal(model.embed("ab"), model.embed(model.tokenizer.encode("ab")))
    assert model.context(bos="off") == []
    assert model.context(bos="off", prefix="ab") == model.tokenizer.encode("ab")


def test_the_embedding_of_an_answer(model):
    answer = model.dream("block 2 [:, :, 0]", steps=4, restarts=1)[0]
    assert answer.embedding.shape == (5, 60) and answer.embedding.dtype == np.float32
    with model.session("block 2", tokens=5) as session:
        soft = session.forward(answer.embedding)[:, 0].astype(float).mean()
    assert abs(soft - answer.activation.soft) < 1e-5 * max(1, abs(soft))


def test_figures_may_be_numpys(model):
    plain, numpys = ({"method": "swap", "budget": 200, "tokens": (t(2), t(3)), "lambda_": r(0.5)}
                     for t, r in ((int, float), (np.int64, np.float32)))
    a, b = (model.dream("block 2 [:, :, 0]", **options)[0] for options in (plain, numpys))
    assert (a.text, a.activation.text) == (b.text, b.activation.text)


def test_a_closed_model_says_so_and_its_sessions_live_on():
    model = phosphene.Model(TINY)
    session, tokenizer = model.session("block 1", tokens=2), model.tokenizer
    model.close()
    for ask in (lambda: model.score("block 1 [:, :, 0]", "ab"), lambda: model.tokenizer, lambda: model.sha256,
                lambda: model.embed("ab")):
        with pytest.raises(ValueError, match="closed"):
            ask()
    assert session.forward(np.zeros((2, 60))).shape == (2, 60)
    assert tokenizer.decode(tokenizer.encode("ab")) == "ab"


def test_nothing_is_kept_alive():
    model = phosphene.Model(TINY)
    model.dream("block 1 [:, :, 0]", steps=1, restarts=1, progress=lambda stage, done: False)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
