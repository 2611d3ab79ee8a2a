#!/usr/bin/env bash
# test_python.sh FOLDER LIBRARY TOOL — the tests of the Python package in FOLDER, over a library, against
# what the tool says. Status 77, skipped, where there is no registry to have pytest from.
set -euo pipefail
python=$("$(dirname "$0")/python_venv.sh" numpy pandas pytest) || exit $?
export PYTHONPATH=$1 PHOSPHENE_LIBRARY=$2 PHOSPHENE_TOOL=$3
exec "$python" -m pytest -q -p no:cacheprovider --durations=5 python/tests
