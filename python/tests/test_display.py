"""What a notebook shows, and data frames."""
import re
from html.parser import HTMLParser

import numpy as np
import pytest

SPEC = "block 2 [:, :, 0-1]"


class Checker(HTMLParser):
    """Well-formed: every tag is closed by its own; keeps the text and the tags."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def checked(shown):
    html = shown._repr_html_()
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert not checker.open, "everything is closed"
    assert not re.search(r"https?:|<script|javascript:|\bon\w+=", html)
    return checker


def every_kind(model):
    text = "abc \u96ea"
    yield model.dream(SPEC, steps=4, restarts=1)
    yield model.dream(SPEC, budget=1000, corpus=False)
    yield model.scan(SPEC)
    yield model.score(SPEC, text)
    yield model.attribute(SPEC, text)
    yield model.effect(SPEC)
    yield model.effect(SPEC, text)
    yield model.recover("block 1 [:, :, :]", text, steps=2, restarts=1)
    yield model.recover("block 1 [:, :, :]", text, method="exact")
    yield model.corpus(SPEC, text="abc ab")


def test_every_kind_shows_itself(model):
    for results in every_kind(model):
        whole, one = checked(results), checked(results[0])
        assert all(r.feature in whole.text for r in results) and results[0].feature in one.text
    assert "no results" in checked(results[:0]).text
    assert "10 more" in checked(model.scan(depth=1, top=1)).text


def test_hostile_tokens_are_text(model):
    hostile = "<script>alert('&\"')</script>\n\t\x1b[31m"
    shown = checked(model.score("block 2 [:, :, 0]", hostile)[0])
    assert "<script>alert('&\"')</script>\u21b5\u2192\\x1b[31m" in shown.text
    assert not [tag for tag, _ in shown.tags if tag == "script"]


def test_colours(model):
    score = model.score("block 2 [:, :, 0]", "abcab")[0]
    spans = [attrs["style"] for tag, attrs in checked(score).tags if tag == "span"]
    assert len(spans) == 5
    for value, style in zip(score.values, spans):
        assert ("255,140,0" in style) == (value >= 0)
    assert "0.75" in spans[int(np.abs(score.values).argmax())]


def test_a_curve(model):
    answer = model.dream("block 2 [:, :, 0]", steps=7, restarts=1)[0]
    lines = [attrs["points"] for tag, attrs in checked(answer).tags if tag == "polyline"]
    assert len(lines) == 1 and len(lines[0].split()) == 8


def test_frames(model):
    pandas = pytest.importorskip("pandas")
    for results in every_kind(model):
        assert len(results.frame()) == len(results) and len(results[0].frame()) > 0
    answers = model.dream(SPEC, steps=4, restarts=1)
    frame = answers.frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["activation.text"].tolist() == [a.activation.text for a in answers]
    tokens = model.attribute("block 2 [:, :, 0]", "abcab")[0].frame()
    assert tokens["token"].tolist() == list("abcab") and tokens["combined"].sum() == pytest.approx(1)
    assert model.scan("block 2 [:, :, 0]", top=7)[0].frame()["top_activation"].is_monotonic_decreasing
