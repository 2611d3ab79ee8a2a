#!/usr/bin/env bash
# check_wheel.sh BUILD — builds the Python wheel over a build's library, installs it into a new virtual
# environment and runs its tests there. Status 77 where the registry cannot be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(tools/python_venv.sh hatchling) || exit $?
unset PYTHONPATH

export PHOSPHENE_LIBRARY=$build/src/libphosphene.so
"$python" -m pip wheel -q --no-deps --no-build-isolation --wheel-dir "$work" ./python
unset PHOSPHENE_LIBRARY
wheel=$(echo "$work"/phosphene-*.whl)
case $wheel in *-py3-none-linux_"$(uname -m)".whl) ;; *) echo "check_wheel: a strange tag: $wheel" >&2; exit 1 ;; esac
listed=$("$python" -m zipfile -l "$wheel")
for file in libphosphene.so _abi.py py.typed model.py; do
  grep -q "^phosphene/$file " <<<"$listed" || { echo "check_wheel: $file is missing" >&2; exit 1; }
done

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check --retries 1 "$wheel" pytest ||
  { echo "check_wheel: skipped, the registry cannot be reached" >&2; exit 77; }
cp -r python/tests "$work/tests" # not beside the sources
sed -i "s|^ROOT = .*|ROOT = Path('$PWD')|" "$work/tests/conftest.py"
cd "$work"
PHOSPHENE_TOOL=$build/app/phosphene venv/bin/python -m pytest -q -p no:cacheprovider tests
echo "check_wheel: $(basename "$wheel"), $(du -k "$wheel" | cut -f1) KB, installs and passes its tests"
