#!/usr/bin/env bash
# python_venv.sh PACKAGE… — prints the Python of a virtual environment that has these packages, which is
# made once and kept in build/. Status 77 where the registry does not give them.
set -euo pipefail
cd "$(dirname "$0")/.."
key=$(printf '%s\n' "$(python3 --version)" "$@" | sha256sum | cut -c1-12)
folder=$PWD/build/venv-$key
if [ ! -e "$folder/made" ]; then
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/pip" install -q --disable-pip-version-check --retries 1 "$@" >&2 || {
    echo "python_venv: skipped, the registry cannot be reached for: $*" >&2
    exit 77
  }
  touch "$folder/made"
fi
printf '%s\n' "$folder/bin/python"
