#!/usr/bin/env bash
# check_install.sh BUILD — installs a build into a folder and uses what is there as a stranger would: the tool
# runs, the examples compile against header, library and pkg-config file and run, a program in C and C++; the
# soname is the version's, all exported symbols are those of the list.
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
for example in examples/*.c; do
  # shellcheck disable=SC2086
  gcc -std=c17 -O2 -Wall -Wextra -Wpedantic -Werror "$example" -o "$root/$(basename "$example" .c)" $flags -lm
done
LD_LIBRARY_PATH=$lib "$root/own_search" tests/data/llama_b.gguf 2 3 >/dev/null
LD_LIBRARY_PATH=$lib "$root/gradient" tests/data/llama_b.gguf 2 >/dev/null
version=$("$root/bin/phosphene" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+')
case $version in 0.*) soname=${version%.*} ;; *) soname=${version%%.*} ;; esac
readelf -d "$lib/libphosphene.so.$version" | grep -q "SONAME.*\[libphosphene.so.$soname\]" ||
  { echo "check_install: the soname of version $version is not libphosphene.so.$soname" >&2; exit 1; }
tools/check_symbols.sh "$lib/libphosphene.so" >/dev/null
# every header compiles alone
for header in src/*/*.h app/*.h; do
  case $header in *template*) continue ;; esac
  gcc -std=c17 -D_GNU_SOURCE -fsyntax-only -Iinclude -Isrc -Iapp -x c "$header" 2>"$root/err" ||
    { echo "check_install: $header does not compile alone" >&2; cat "$root/err" >&2; exit 1; }
done
echo "check_install: tool, library, header, pkg-config file and man pages are in place, the examples run"
