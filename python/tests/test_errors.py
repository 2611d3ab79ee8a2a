"""Mistakes are exceptions that name the thing; nothing that Python can say ends the process."""
import pytest
from conftest import TINY, refused

import phosphene
from phosphene import Error, Status, _abi

SPEC = "block 2 [:, :, 0]"


@pytest.mark.parametrize("spec", ["block 99 [:, :, 1]", "block 2 [:, :, 0", "block 2 [:, 4:2, 0]", "", "na\u00efve",
                                  "block 1 [:, :, 0],\n block 2 [:, :, 60]", "\u96ea\u96ea [:, :, 1]"])
def test_a_caret_as_the_tool_shows_it(model, spec):
    with pytest.raises(Error) as caught:
        model.scan(spec)
    error = caught.value
    assert error.code in (Status.ESPEC, Status.ERANGE) and error.source == spec and error.pos is not None
    assert refused("scan", spec) == f"phosphene scan: {error}\n"


def test_codes():
    ours = {f"{s.name}": s.value for s in Status}
    theirs = {name: getattr(_abi, name) for name in ours}
    assert ours == theirs and len(ours) == _abi.STATUS_COUNT


def test_files(tmp_path):
    with pytest.raises(Error) as caught:
        phosphene.Model(tmp_path / "nothing.gguf")
    assert caught.value.code == Status.EIO and "nothing.gguf" in str(caught.value)
    (tmp_path / "junk.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(Error) as caught:
        phosphene.Model(tmp_path / "junk.gguf")
    assert caught.value.code in (Status.EFORMAT, Status.EUNSUPPORTED)
    with pytest.raises(Error, match="nor a model in Hugging Face's cache"):
        phosphene.Model("nobody/nothing")
    with pytest.raises(TypeError):
        phosphene.Model(5)


@pytest.mark.parametrize(("options", "kind"), [
    ({"tokens": 0}, ValueError), ({"tokens": "5"}, ValueError), ({"tokens": 2.5}, TypeError), ({"tokens": (2.5, 4)}, TypeError), ({"steps": -1}, ValueError),
    ({"steps": 2**70}, ValueError), ({"tokens": 10**9}, Error), ({"method": "magic"}, Error), ({"method": "a\0b"}, ValueError),
    ({"eta": "1"}, ValueError), ({"eta": (float("nan"), 1)}, ValueError), ({"eta": "0:0"}, ValueError),
    ({"eta": "big:small"}, ValueError), ({"bos": "maybe"}, ValueError), ({"sign": 2}, ValueError), ({"seed": -1}, ValueError),
    ({"ban": ""}, ValueError), ({"colour": "red"}, TypeError), ({"outliers": None}, ValueError), ({"top": 0}, ValueError),
    ({"lambda_": (1, 2, 3)}, ValueError), ({"restarts": 2**62}, Error), ({"corpus": "/nowhere"}, OSError),
    ({"prefix": "\udc80"}, UnicodeEncodeError), ({"reduce": "sum"}, ValueError), ({"chat": True}, Error),
    ({"seconds": float("inf")}, ValueError)])
def test_options(model, options, kind):
    with pytest.raises(kind):
        model.dream(SPEC, **options)


def test_texts(model):
    with pytest.raises(Error):
        model.score(SPEC, "")
    with pytest.raises(Error):
        model.score("block 2 [:, 7, 0]", "ab")
    with pytest.raises(Error):
        model.score(SPEC, "a" * 1000)
    with pytest.raises((Error, IndexError)):
        model.score(SPEC, [5000])
    with pytest.raises(IndexError):
        model.score(SPEC, [-1])
    with pytest.raises(TypeError):
        model.score(SPEC, b"ab")
    for nothing in (None, 5, [5]):
        with pytest.raises(TypeError):
            model.score(nothing, "ab")
    with pytest.raises(Error):
        model.score([], "ab")
    assert model.score(SPEC, (i for i in [64, 65]))[0].text == "ab"
    with pytest.raises(ValueError, match="0 byte"):
        model.score("block 2\0 [:, :, 0]", "ab")
    assert model.score(SPEC, "a\0b")[0].text == "a\0b"
    with pytest.raises(ValueError, match="without tokens"):
        model.activations("", "block 1")
    with pytest.raises(Error) as caught:
        model.activations("ab", "block 9")
    assert "^" in str(caught.value)
    for place in ("block 1-2", "block 1 [:, :, 0] + block 2"):
        with pytest.raises((Error, ValueError)):
            model.activations("ab", place)
    with pytest.raises(ValueError, match="one feature"):
        model.gradient("block 1 [:, :, 0-1]", "ab")
    with pytest.raises(ValueError, match="single components"):
        model.corpus("block 1 [:, :, 0:4]")


def test_the_tokenizer(model):
    t = model.tokenizer
    assert t.decode(t.encode("abc cab")) == "abc cab" and len(t) == 300
    assert t.piece(-1) is None and t.piece(300) is None and t.token(10**12) is None
    with pytest.raises((Error, IndexError)):
        t.decode([300])
    own = phosphene.Tokenizer(TINY)
    assert own.encode("abc cab") == t.encode("abc cab")
    assert "\ufffd" in own.decode([146])
