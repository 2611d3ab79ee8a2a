#!/bin/sh
# What bench/peers needs, into the environment $PEERS_VENV (bench/peers/.venv); prints its Python.
set -eu
venv=${PEERS_VENV:-$(dirname "$0")/.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
# nanogcg without what it asks for: it uses none of protobuf and sentencepiece here.
"$venv/bin/pip" install -q --disable-pip-version-check \
    torch transformers tokenizers gguf safetensors accelerate numpy scipy tqdm
"$venv/bin/pip" install -q --disable-pip-version-check --no-deps nanogcg==0.3.0
echo "$venv/bin/python"
