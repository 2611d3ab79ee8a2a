#!/usr/bin/env bash
# check_symbols.sh LIBRARY — what the shared library exports is the committed list src/phosphene.symbols,
# and that is what the public header declares. A name that goes is a new interface: raise the version.
#
#   tools/check_symbols.sh --write LIBRARY     takes the library's symbols for the list
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
list=src/phosphene.symbols
exported() { nm -D --defined-only "$1" | awk '{ print $3 }' | sed 's/@.*//' | grep -v '^__\(asan\|ubsan\|tsan\|odr_asan\)' | sort; }
if [ "${1:-}" = --write ]; then
  exported "$2" >"$list"
  exit 0
fi
[ $# = 1 ] || { echo "usage: tools/check_symbols.sh [--write] LIBRARY" >&2; exit 2; }
exported "$1" | diff -u --label "$list" --label "$1" "$list" - ||
  { echo "check_symbols: other symbols than in $list; if that is meant: tools/check_symbols.sh --write $1" >&2; exit 1; }
tr '\n' ' ' <include/phosphene.h | grep -oE 'PH_API [^;(]*\(' | grep -oE 'ph_\w+\(' | tr -d '(' | sort |
  diff -u --label "$list" --label include/phosphene.h "$list" - ||
  { echo "check_symbols: the header declares other functions than $list has" >&2; exit 1; }
echo "check_symbols: $(wc -l <"$list") symbols, as in $list and in the header"
