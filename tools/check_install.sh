#!/usr/bin/env bash
# check_install.sh BUILD — installs a build into a folder and uses what is there as a stranger would: the tool
# runs, a program compiles against header, library and pkg-config file in C and C++, all exported symbols
# begin with ph_.
set -euo pipefail
build=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cmake --install "$build" --prefix "$root" >/dev/null

for file in bin/phosphene include/phosphene.h share/man/man1/phosphene.1 share/man/man1/phosphene-dream.1; do
  [ -s "$root/$file" ] || { echo "check_install: $file is missing" >&2; exit 1; }
done
"$root/bin/phosphene" --version >/dev/null
pc=$(dirname "$(find "$root" -name phosphene.pc)")
lib=$(dirname "$(find "$root" -name libphosphene.so)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$root" --cflags --libs phosphene)
cat >"$root/use.c" <<'C'
#include <phosphene.h>
#include <stdio.h>
int main(void) { ph_error err; ph_model *m = 0; puts(ph_version()); return ph_model_open(&m, "/nowhere", 0, &err) != PH_EIO; }
C
# shellcheck disable=SC2086
gcc -std=c17 -Wall -Wextra -Wpedantic -Werror "$root/use.c" -o "$root/use" $flags
LD_LIBRARY_PATH=$lib "$root/use" >/dev/null
# shellcheck disable=SC2086
g++ -x c++ -Wall -Wextra -Wpedantic -Werror -fsyntax-only "$root/use.c" $flags
strange=$(nm -D --defined-only "$lib/libphosphene.so" | awk '{ print $3 }' | grep -v '^ph_' || true)
[ -z "$strange" ] || { echo "check_install: symbols that do not begin with ph_: $strange" >&2; exit 1; }
# every header compiles alone
for header in src/*/*.h app/*.h; do
  case $header in *template*) continue ;; esac
  gcc -std=c17 -D_GNU_SOURCE -fsyntax-only -Iinclude -Isrc -Iapp -x c "$header" 2>"$root/err" ||
    { echo "check_install: $header does not compile alone" >&2; cat "$root/err" >&2; exit 1; }
done
echo "check_install: tool, library, header, pkg-config file and man pages are in place"
