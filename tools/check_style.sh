#!/usr/bin/env bash
# check_style.sh: the form of source files: UTF-8, tabs, trailing blanks, final newline, invisible
# characters, and clang-format over C. One line `file:line: message` per fault; exit status 1 if any.
#
#   tools/check_style.sh [FILE…]     without FILE: all files that git tracks or would track
set -u
cd "$(dirname "$0")/.." || exit 2
export LC_ALL=C.UTF-8

kinds='\.(c|h|cu|py|sh|cmake|txt|md|json|sql|js|css|html|scd|test|clang-format|gitignore)$|^script/[^/]+$|^\.ci/run$'
apart='^(tests/data|fuzz/corpus)/'
invisible='[\x{00a0}\x{00ad}\x{034f}\x{061c}\x{180e}\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}-\x{206f}\x{3000}\x{3164}\x{fe00}-\x{fe0f}\x{feff}\x{fff9}-\x{fffb}]'

if [ $# -gt 0 ]; then files=("$@"); else
  mapfile -t files < <(git ls-files --cached --others --exclude-standard | sort -u | grep -E "$kinds" | grep -vE "$apart")
fi
faults=0
count=0

# search PATTERN MESSAGE FILE
search() {
  local line
  while IFS=: read -r line _; do
    echo "$3:$line: $2"
    faults=$((faults + 1))
  done < <(grep -anP -- "$1" "$3")
}

clang_files=()
for file in "${files[@]}"; do
  [ -f "$file" ] || continue # deleted, not yet committed
  count=$((count + 1))
  if ! iconv -f UTF-8 -t UTF-8 "$file" >/dev/null 2>&1; then
    echo "$file:1: not UTF-8"
    faults=$((faults + 1))
    continue
  fi
  search '\t' 'a tab' "$file"
  search '\r$' 'a carriage return' "$file"
  search '[ \t]+$' 'a trailing blank' "$file"
  search "$invisible" 'an invisible character' "$file"
  if [ -s "$file" ] && [ -n "$(tail -c 1 "$file" | tr -d '\n')" ]; then
    echo "$file:$(($(wc -l <"$file") + 1)): no final newline"
    faults=$((faults + 1))
  fi
  case $file in *.c | *.h) clang_files+=("$file") ;; esac
done

if ! command -v clang-format >/dev/null; then
  echo "clang-format: skipped, it is not installed"
elif [ ${#clang_files[@]} -gt 0 ]; then
  # the first place of each file; columns and excerpts are left out
  while IFS=: read -r file line _; do
    echo "$file:$line: clang-format differs"
    faults=$((faults + 1))
  done < <(clang-format --dry-run -Werror "${clang_files[@]}" 2>&1 | grep -E '^[^ ].*: (error|warning):' | sort -u -t: -k1,1)
fi
echo "$count files checked, $faults faults"
[ "$count" -gt 0 ] && [ "$faults" -eq 0 ]
