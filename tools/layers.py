#!/usr/bin/env python3
"""layers.py: checks the laws of the house (DESIGN section 5) over include/, src/ and app/.

    tools/layers.py [ROOT]       one line `file:line: message` per violation; exit status 1 if any
    tools/layers.py --self-test  makes a tree with every violation and checks that each is reported

Needs the Python standard library only; function lengths also need Universal Ctags.
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Room -> rooms it may include, besides itself. <phosphene.h> only declares: every room may.
BELOW_MODEL = {"base", "weights", "text", "kernels"}
ROOMS = {
    "base": set(),
    "weights": {"base"},
    "text": {"base"},
    "kernels": {"base"},
    "store": {"base"},
    "model": BELOW_MODEL,
    "feature": BELOW_MODEL | {"model"},
    "search": BELOW_MODEL | {"model", "feature"},
}

# Header -> the only files that may include it.
OWNED = [
    (re.compile(r"dnnl|oneapi/"), re.compile(r"^src/kernels/onednn\.c$"), "oneDNN is for src/kernels/onednn.c"),
    (re.compile(r"cuda|cublas"), re.compile(r"^src/kernels/cuda\w*\.cu$"), "CUDA is for src/kernels/cuda*.cu"),
]

BANNED = "strcpy strcat sprintf vsprintf gets atoi strtok alloca".split()
ALLOCATING = "malloc calloc realloc reallocarray free aligned_alloc posix_memalign strdup strndup asprintf vasprintf".split()
NOT_IN_LIBRARY = "getenv secure_getenv printf vprintf puts putchar perror exit _exit _Exit quick_exit abort assert".split()

FILE_LINES = 600
KERNEL_LINES = 900
HEADER_LINES = 1150  # phosphene.h, the manual: one header for everything the tool can do
FUNCTION_LINES = 120

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
GUARD = re.compile(r"^\s*#\s*ifndef\s+(\w+)\s*\n\s*#\s*define\s+\1\b", re.M)
# A comment, or a string or character constant; a line break inside stays.
OPAQUE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def without_comments(text):
    return OPAQUE.sub(lambda m: blank(m) if m.group()[0] == "/" else m.group(), text)


def without_strings(text):
    return OPAQUE.sub(blank, text)


def calls(names):
    """Calls of these functions, but not members of that name: x->free(p) is the owner's business."""
    return re.compile(r"(?<![\w.])(?<!->)(%s)\s*\(" % "|".join(names))


BANNED_CALL = calls(BANNED)
ALLOCATION = calls(ALLOCATING)
LIBRARY_CALL = calls(NOT_IN_LIBRARY)
LIBRARY_STREAM = re.compile(r"\b(stdout|stderr)\b")


class Source:
    def __init__(self, root, path):
        self.path = path
        self.name = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8", errors="replace")
        self.lines = self.text.splitlines()
        parts = self.name.split("/")
        self.area = parts[0]
        self.room = parts[1] if self.area == "src" and len(parts) > 2 else None


def sources(root):
    for area in ("include", "src", "app"):
        for path in sorted((root / area).rglob("*")):
            if path.suffix in (".c", ".h", ".cu", ".cuh") and path.is_file():
                yield Source(root, path)


# ---- one file ----

def included(source):
    for n, line in enumerate(without_comments(source.text).splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield n, match.group(1) == '"', match.group(2)


def library_include(root, source, quoted, header):
    room = header.split("/")[0]
    if not quoted:
        return f'<{header}> is ours: write "{header}"' if room in ROOMS and "/" in header else None
    if "/" not in header or room not in ROOMS:
        return f'"{header}": the library\'s includes are "room/file.h" and <phosphene.h>'
    if source.room is None:
        return f'"{header}": {source.area} includes no room'
    if room != source.room and room not in ROOMS.get(source.room, set()):
        return f'"{header}": {source.room} must not include {room}'
    return None


def app_include(root, source, quoted, header):
    if header == "phosphene.h":
        return "write <phosphene.h>" if quoted else None
    if not quoted:
        ours = (root / "src" / header).is_file() or (root / "app" / header).is_file()
        return f"<{header}> is no system header: app includes <phosphene.h> and its own" if ours else None
    own = [folder / header for folder in (source.path.parent, root / "app")]
    app = (root / "app").resolve()
    if any(p.is_file() and app in p.resolve().parents for p in own):
        return None
    return f'"{header}": app includes <phosphene.h> and its own headers only'


def check_includes(root, source):
    law = app_include if source.area == "app" else library_include
    for n, quoted, header in included(source):
        message = law(root, source, quoted, header)
        if message:
            yield n, message
        for pattern, owner, why in OWNED:
            if pattern.match(header) and not owner.match(source.name):
                yield n, f"{header}: {why}"


def check_calls(_root, source):
    for n, line in enumerate(without_strings(source.text).splitlines(), 1):
        for match in BANNED_CALL.finditer(line):
            yield n, f"{match.group(1)} is banned"
        if source.area != "src":
            continue
        if source.name != "src/base/mem.c":
            for match in ALLOCATION.finditer(line):
                yield n, f"{match.group(1)}: memory is had from base/mem.h only"
        for match in LIBRARY_CALL.finditer(line):
            yield n, f"{match.group(1)}: not in the library"
        for match in LIBRARY_STREAM.finditer(line):
            yield n, f"{match.group(1)}: the library prints nothing"


def check_form(_root, source):
    most = KERNEL_LINES if source.room == "kernels" else FILE_LINES
    if source.name == "include/phosphene.h":
        most = HEADER_LINES
    if len(source.lines) > most:
        yield most + 1, f"{len(source.lines)} lines, at most {most}"
    if source.area == "src" and source.room not in ROOMS:
        yield 1, f"no room of this house: {', '.join(ROOMS)}"
    # *_template.h are sources that are compiled several times
    if source.name.endswith(".h") and not source.name.endswith("_template.h"):
        if not GUARD.search(without_comments(source.text)) and "#pragma once" not in source.text:
            yield 1, "a header without a guard"
    if source.area == "include":
        for n, line in enumerate(source.lines, 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                yield n, "TODO in the public header"


# ---- all files ----

def check_names(files):
    """x.c and x.h of one folder share a name; nothing else does."""
    first = {}
    for source in files:
        stem, folder = source.path.stem, source.path.parent
        other = first.setdefault(stem, source)
        same_suffix = other is not source and other.path.suffix == source.path.suffix
        if other.path.parent != folder or same_suffix:
            yield source.name, 1, f"the name {stem} is taken by {other.name}"


def function_lengths(root, files):
    """[(lines, name, file, line)], or None without ctags."""
    if not shutil.which("ctags"):
        return None
    names = [s.name for s in files if s.path.suffix != ".cuh"]
    if not names:
        return []
    out = subprocess.run(["ctags", "--options=NONE", "-L", "-", "-f", "-", "--languages=C", "--langmap=C:.c.h.cu",
                          "--c-kinds=f", "--fields=+ne"], cwd=root, input="\n".join(names) + "\n",
                         capture_output=True, text=True, check=True).stdout
    found = []
    for row in out.splitlines():
        fields = row.split("\t")
        value = dict(f.split(":", 1) for f in fields[3:] if ":" in f)
        if "line" in value and "end" in value:
            start, end = int(value["line"]), int(value["end"])
            found.append((end - start + 1, fields[0], fields[1], start))
    return sorted(found)


def violations(root):
    files = list(sources(root))
    found = list(check_names(files))
    for source in files:
        for check in (check_includes, check_calls, check_form):
            found += [(source.name, n, message) for n, message in check(root, source)]
    lengths = function_lengths(root, files)
    for lines, name, file, start in lengths or []:
        if lines > FUNCTION_LINES:
            found.append((file, start, f"{name} has {lines} lines, at most {FUNCTION_LINES}"))
    return files, lengths, sorted(set(found))


def report(root):
    files, lengths, found = violations(root)
    for file, line, message in found:
        print(f"{file}:{line}: {message}")
    if not files:
        print(f"{root}: no sources in include, src, app")
        return 1
    if lengths is None:
        print("function lengths: skipped, no ctags")
    elif lengths:
        n = len(lengths)
        longest = ", ".join(f"{name} {lines}" for lines, name, _, _ in reversed(lengths[-3:]))
        print(f"{n} functions: median {lengths[n // 2][0]} lines, p90 {lengths[n * 9 // 10][0]}, longest {longest}")
    print(f"{len(files)} files, {len(found)} violations")
    return 1 if found else 0


# ---- self-test ----

GUARDED = "#ifndef H\n#define H\n{}\n#endif\n"
FINE = {
    "include/phosphene.h": GUARDED.format("/* no TODO_LIST here */"),
    "src/base/mem.h": GUARDED.format("#include <phosphene.h>"),
    "src/base/mem.c": '#include "base/mem.h"\nvoid *f(void) { return malloc(1); }\n',
    "src/text/vocab.h": GUARDED.format('__attribute__((format(printf, 1, 2))) int g(const char *, ...);'),
    "src/kernels/onednn.c": "#include <dnnl.h>\n",
    "src/kernels/ref_template.h": "int no_guard;\n",
    "src/kernels/ref.c": "\n" * 899,
    "src/model/model.h": GUARDED.format('#include "text/vocab.h"\n#include "kernels/ref_template.h"'),
    "src/model/model.c": '#include "model/model.h"\n#include <stdio.h>\n/* malloc(1) */\n'
                         'static const char *s = "exit(1) \\" // atoi(s)";\n'
                         "int h(void) { b->free(p); ops.free(p); ph__free(p); static_assert(1); return 'a'; }\n",
    "src/search/dream.c": '#include "feature/spec.h"\n#include "weights/w.h"\n',
    "app/main.c": '#include <phosphene.h>\n#include "opt.h"\nint main(void) { exit(printf("")); }\n',
    "app/opt.h": GUARDED.format("#include <stdio.h>"),
    "app/serve/http.c": '#include "opt.h"\n#include <jansson.h>\n',
}
# (file, text, line, part of the message)
WRONG = [
    ("src/base/up.c", '\n#include "model/model.h"\n', 2, "base must not include model"),
    ("src/weights/k.c", '#include "kernels/kernels.h"\n', 1, "weights must not include kernels"),
    ("src/weights/t.c", '#include "text/vocab.h"\n', 1, "weights must not include text"),
    ("src/text/w.c", '#include "weights/weights.h"\n', 1, "text must not include weights"),
    ("src/kernels/m.c", '#include "model/model.h"\n', 1, "kernels must not include model"),
    ("src/model/f.c", '/* x\n*/ #include "feature/spec.h"\n', 2, "model must not include feature"),
    ("src/feature/s.c", '#include "search/dream.h"\n', 1, "feature must not include search"),
    ("src/store/m.c", '#include "model/model.h"\n', 1, "store must not include model"),
    ("src/search/st.c", '#include "store/store.h"\n', 1, "search must not include store"),
    ("src/search/bare.c", '#include "dream.h"\n', 1, "room/file.h"),
    ("src/search/own.c", '#include "phosphene.h"\n', 1, "room/file.h"),
    ("src/search/angle.c", "#include <base/mem.h>\n", 1, "is ours"),
    ("src/attic/old.c", "int x;\n", 1, "no room of this house"),
    ("src/kernels/fast.c", "#include <oneapi/dnnl/dnnl.h>\n", 1, "oneDNN is for"),
    ("src/kernels/gpu.c", "#include <cuda_runtime.h>\n", 1, "CUDA is for"),
    ("app/inside.c", '#include "base/mem.h"\n', 1, "its own headers only"),
    ("app/climb.c", '#include "../src/base/mem.h"\n', 1, "its own headers only"),
    ("app/sly.c", "#include <base/mem.h>\n", 1, "no system header"),
    ("app/quoted.c", '#include "phosphene.h"\n', 1, "write <phosphene.h>"),
    ("app/model.c", "int x;\n", 1, "the name model is taken by"),
    ("src/weights/vocab.h", GUARDED.format(""), 1, "the name vocab is taken by"),
    ("src/model/naked.h", "int x;\n", 1, "without a guard"),
    ("src/model/long.c", "\n" * 601, 601, "601 lines, at most 600"),
    ("src/kernels/longer.c", "\n" * 901, 901, "901 lines, at most 900"),
    ("include/todo.h", GUARDED.format("/* TODO: all */"), 3, "TODO in the public header"),
    ("src/model/streams.c", "\nvoid f(void) { fprintf(stderr, \"\"); }\n", 2, "prints nothing"),
    ("src/model/far.c", "void far_too_long(void)\n{\n" + "    ;\n" * 118 + "}\n", 1, "far_too_long has 121 lines"),
]
WRONG += [(f"src/model/ban_{f}.c", f"int x;\nint y = {f} (z);\n", 2, f"{f} is banned") for f in BANNED]
WRONG += [(f"app/ban_{f}.c", f"int y = {f}(z);\n", 1, f"{f} is banned") for f in BANNED]
WRONG += [(f"src/model/use_{f}.c", f"int y = {f}(z);\n", 1, f"{f}: memory is had") for f in ALLOCATING]
WRONG += [(f"src/model/use_{f}.c", f"int y = {f}(z);\n", 1, f"{f}: not in the library") for f in NOT_IN_LIBRARY]


def plant(root, files):
    for name, text in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def self_test():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plant(root, FINE.items())
        _, lengths, found = violations(root)
        for file, line, message in found:
            print(f"self-test: a clean tree is reported: {file}:{line}: {message}")
            failed += 1
        plant(root, [(name, text) for name, text, _, _ in WRONG])
        found = violations(root)[2]
        for name, _, line, part in WRONG:
            if lengths is None and "far_too_long" in part:
                print("self-test: function lengths skipped, no ctags")
            elif not any(f == name and n == line and part in m for f, n, m in found):
                print(f"self-test: not reported: {name}:{line}: {part}")
                failed += 1
        extra = {f for f, _, _ in found} - {name for name, _, _, _ in WRONG}
        for name in sorted(extra):
            print(f"self-test: reported without reason: {name}")
            failed += 1
    print(f"self-test: {len(WRONG)} violations planted, {failed} failures")
    return 1 if failed else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) > 1 or any(a.startswith("-") for a in arguments):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    return report(Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
