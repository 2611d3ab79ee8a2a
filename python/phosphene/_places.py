"""Where models and the cache are, as the tool has it."""
from __future__ import annotations

import os
import re

from .errors import Error, Status

DEFAULT_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = re.compile(r"(?:(?P<org>[\w-][\w.-]{0,95})/)?(?P<name>[\w-][\w.-]{0,95})(?::(?P<file>[^/].*))?", re.ASCII)


def _user_folder(variable: str, fallback: str) -> str:
    return os.path.join(os.environ.get(variable) or os.path.expanduser(f"~/{fallback}"), "phosphene")


def cache_folder() -> str | None:
    """Where complete searches are kept, made if need be; None where that cannot be."""
    folder = _user_folder("XDG_CACHE_HOME", ".cache")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _hub() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")


def _snapshot(path: str, folder: str, file: str | None) -> str:
    try:
        with open(os.path.join(folder, "refs", "main"), encoding="utf-8") as f:
            ref = f.read().split()[0]
    except (OSError, IndexError, ValueError):
        raise Error(Status.EIO, f"{path}: {folder}/refs/main names no snapshot") from None
    found = os.path.join(folder, "snapshots", ref, file or "").rstrip("/")
    if not os.path.exists(found):
        raise Error(Status.EIO, f"{path}: {found} is not there")
    return found


def model_path(given: str | os.PathLike[str] | None) -> str:
    """A file, a folder, or ORG/NAME[:FILE] in the Hugging Face cache; None: $PHOSPHENE_MODEL, else the
    model of script/fetch-model."""
    if given is None:
        return os.environ.get("PHOSPHENE_MODEL") or os.path.join(
            _user_folder("XDG_DATA_HOME", ".local/share"), DEFAULT_MODEL)
    path = os.path.expanduser(os.fspath(given))
    parts = NAME.fullmatch(path)
    if os.path.exists(path) or not parts or ".." in (parts["file"] or ""):
        return path
    folder = os.path.join(_hub(), "models--" + (f"{parts['org']}--" if parts["org"] else "") + parts["name"])
    if os.path.exists(folder):
        return _snapshot(path, folder, parts["file"])
    if parts["org"]:
        raise Error(Status.EIO, f"{path}: no such file, nor a model in Hugging Face's cache (looked for {folder})")
    return path
