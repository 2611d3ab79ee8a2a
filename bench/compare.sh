#!/bin/sh
# compare.sh TOOL [-o FILE] [OPTION… SPEC…] — bench/COMPARE.md: the methods of dream side by side.
#
# Without options and specs: every method on 20 features of the default model at the budget of issue 5,
# five seeds: a day and more, whose runs are kept in bench/compare.jsonl; stopped, it goes on from there. The
# features are of 20 blocks out of 30, feature 137 × block modulo 576: chosen by this rule, not by what
# was found.
set -eu
tool=$1
shift
out=bench/COMPARE.md
if [ "${1:-}" = -o ]; then
  out=$2
  shift 2
fi
if [ $# -eq 0 ]; then
  set -- --budget 300000 --runs bench/compare.jsonl
  for block in 1 2 4 5 7 8 10 11 13 14 16 17 19 20 22 23 25 27 29 30; do
    set -- "$@" "block $block [:, :, $((block * 137 % 576))]"
  done
fi
said=$("$tool" info --json | head -n 1)
field() { printf '%s' "$said" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD || commit="$commit with changes"
{
  printf '# Methods side by side\n\n'
  printf 'Made by `bench/compare.sh`; what the columns mean: `phosphene compare --help`.\n\n'
  printf 'The machine is the one that wrote this table; a run that was kept before is of the machine that its line in the\nfile of --runs names, where its text is, too.\n\n'
  printf '| | |\n|---|---|\n'
  printf '| machine | %s |\n' "$(field machine)"
  printf '| model | %s, sha256 %s |\n' "$(basename "$(field file)")" "$(field sha256)"
  printf '| commit | %s |\n| date | %s |\n\n' "$commit" "$(date -u +%Y-%m-%d)"
  printf '```\n$ phosphene compare'
  for word in "$@"; do
    case $word in *' '*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
  done
  printf '\n'
} >"$out.part"
"$tool" compare "$@" >>"$out.part"
printf '```\n' >>"$out.part"
sed 's/ *$//' "$out.part" >"$out"
rm "$out.part"
