#!/bin/sh
# How fast phosphene is beside PyTorch, in turns on this machine: writes bench/RESULTS.md.
#
#   bench/peers/speed.sh [PHOSPHENE] [OPTION …]     options: speed.py --help
set -eu
here=$(dirname "$0")
tool=$here/../../build/release/app/phosphene
case ${1:-} in
'' | -*) ;;
*)
    tool=$1
    shift
    ;;
esac
python=$("$here/setup.sh")
exec "$python" "$here/speed.py" "$tool" "$@"
