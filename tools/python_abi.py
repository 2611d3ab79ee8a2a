#!/usr/bin/env python3
"""python_abi.py HEADER VERSION OUT: the public header as ctypes declarations, for the Python package.

Reads the C that include/phosphene.h is written in, and no more: enums, structs of plain members,
function pointers, prototypes, the PH_…_INIT macros. Anything else is an error that shows it, so that
the package cannot drift from the header. python/tests/test_abi.py compares sizes and offsets with
what a C compiler says.
"""
import pathlib
import re
import sys

PLAIN = {"int": "c_int", "int32_t": "c_int32", "int64_t": "c_int64", "uint64_t": "c_uint64",
         "size_t": "c_size_t", "unsigned": "c_uint", "double": "c_double", "float": "c_float",
         "bool": "c_bool", "char": "c_char"}
DEEPEST = 4  # INIT macros within macros


def soname(version):
    """As src/CMakeLists.txt has it: before 1.0 every minor version is a new interface."""
    major, minor, _ = version.split(".")
    return f"0.{minor}" if major == "0" else major


class Header:
    def __init__(self, text):
        self.out, self.kinds, self.constants = [], {}, {"INT64_MAX": str(2**63 - 1), "NULL": "None",
                                                        "true": "True", "false": "False"}
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
        self.macros = dict(re.findall(r"^#define[ \t]+(PH_\w+)[ \t]+([^\n]*\S)[ \t]*$", text, re.M))
        body = re.sub(r"^[ \t]*#[^\n]*$", "", text, flags=re.M)
        self.body = re.sub(r'extern "C" \{(.*)\}', r"\1", body, flags=re.S)

    def ctype(self, text):
        """The ctypes type of a C type without its name: 'const char *const *'."""
        stars = text.count("*")
        name = re.sub(r"\b(const|struct|enum)\b|\*", " ", text).strip()
        kind = self.kinds.get(name)
        if name in PLAIN or kind == "enum":
            base = PLAIN.get(name, "c_int")
        elif kind in ("struct", "function"):
            base = name
        elif kind == "opaque" or name == "void" or re.search(r"\bstruct\s", text):
            if stars == 0:
                return "None"
            base, stars = "c_void_p", stars - 1
        else:
            raise SystemExit(f"python_abi.py: a type that is not known here: {text.strip()!r}")
        if base == "c_char" and stars:
            base, stars = "c_char_p", stars - 1
        for _ in range(stars):
            base = f"POINTER({base})"
        return base

    def enum(self, name, body):
        value = -1
        for item in filter(None, (part.strip() for part in body.split(","))):
            key, _, given = (part.strip() for part in item.partition("="))
            value = int(given) if given else value + 1
            self.constants[key] = str(value)
            self.out.append(f"{key[3:]} = {value}")
        if name:
            self.kinds[name] = "enum"

    def members(self, body):
        for line in filter(None, (part.strip() for part in body.split(";"))):
            match = re.match(r"((?:(?:const|struct|enum)\s+)*\w+)\s*(.*)$", line, re.S)
            if not match:
                raise SystemExit(f"python_abi.py: not a member: {line!r}")
            for declarator in match.group(2).split(","):
                one = re.match(r"\s*((?:\*|\bconst\b|\s)*)(\w+)\s*(?:\[(\w+)\])?\s*$", declarator)
                if not one:
                    raise SystemExit(f"python_abi.py: not a member: {line!r}")
                ctype = self.ctype(match.group(1) + " " + one.group(1))
                if one.group(3):
                    ctype = f"{ctype} * {self.constants.get(one.group(3), one.group(3))}"
                yield one.group(2), ctype

    def struct(self, name, body):
        fields = list(self.members(body))
        self.kinds[name] = "struct"
        self.out.append(f"\nclass {name}(Structure):\n    _fields_ = [")
        self.out += [f'        ("{field}", {ctype}),' for field, ctype in fields]
        self.out.append("    ]\n\n")

    def parameters(self, text):
        for parameter in text.split(","):
            if parameter.strip() == "void":
                continue
            match = re.match(r"(.*?)(\w+)(\[\w*\])?\s*$", parameter.strip(), re.S)
            # an array that the caller gives: any pointer to its elements
            yield self.ctype(match.group(1) + ("*" if match.group(3) else ""))

    def function_type(self, result, name, parameters):
        self.kinds[name] = "function"
        types = ", ".join([self.ctype(result), *self.parameters(parameters)])
        self.out.append(f"\n{name} = CFUNCTYPE({types})")

    def function(self, result, name, parameters):
        types = [p.replace("POINTER(c_char_p)", "POINTER(c_void_p)") for p in self.parameters(parameters)]
        result = self.ctype(result)
        if result == "c_char_p" and "size_t *" in parameters:
            result = "c_void_p"  # bytes with a length: there may be a 0 among them
        self.functions.append(f'    "{name}": ({result}, [{", ".join(types)}]),')

    def initial(self, text, depth=0):
        """The values of an initialiser, as Python."""
        text = text.strip()
        if depth > DEEPEST:
            raise SystemExit(f"python_abi.py: macros too deep at {text!r}")
        if text.startswith("{"):
            parts, level, start = [], 0, 1
            for i, c in enumerate(text):
                level += (c in "{(") - (c in "})")
                if (c == "," and level == 1) or level == 0:
                    parts.append(self.initial(text[start:i], depth + 1))
                    start = i + 1
            return "(" + ", ".join(parts) + ",)"
        if match := re.match(r"sizeof\((\w+)\)$", text):
            return f"sizeof({match.group(1)})"
        if text in self.macros:
            return self.initial(self.macros[text], depth + 1)
        if text.startswith('"'):
            return "b" + text
        if text in self.constants:
            return self.constants[text]
        return str(float(text)) if "." in text else str(int(text))

    DECLARATIONS = [
        (re.compile(r"(?:typedef\s+)?enum\s*(\w*)\s*\{([^}]*)\}\s*\w*\s*;"), "enum"),
        (re.compile(r"typedef\s+struct\s+(\w+)\s*\{([^}]*)\}\s*\w+\s*;"), "struct"),
        (re.compile(r"typedef\s+struct\s+(\w+)\s+\1\s*;"), "opaque"),
        (re.compile(r"typedef\s+(\w+)\s*\(\*(\w+)\)\(([^)]*)\)\s*;"), "function_type"),
        (re.compile(r"PH_API\s+([^(]*?)(\w+)\(([^)]*)\)\s*;"), "function"),
    ]

    def opaque(self, name):
        self.kinds[name] = "opaque"

    def translate(self, version):
        self.functions = []
        at = 0
        while at < len(self.body):
            if self.body[at].isspace():
                at += 1
                continue
            for pattern, what in self.DECLARATIONS:
                match = pattern.match(self.body, at)
                if match:
                    getattr(self, what)(*match.groups())
                    at = match.end()
                    break
            else:
                raise SystemExit(f"python_abi.py: cannot read {self.body[at:at + 80]!r}")
        lines = ['"""The public header as ctypes declarations; made by tools/python_abi.py."""', "# ruff: noqa",
                 "# mypy: ignore-errors",
                 "from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char, c_char_p, c_double, c_float, c_int,",
                 "                    c_int32, c_int64, c_size_t, c_uint, c_uint64, c_void_p, sizeof)", "",
                 f'VERSION = "{version}"', f'SONAME = "libphosphene.so.{soname(version)}"', f"END = {2**63 - 1}", *self.out, "", "INIT = {"]
        for macro, text in self.macros.items():
            if macro.endswith("_INIT"):
                struct = "ph_" + macro[3:-5].lower()
                lines.append(f"    {struct}: {self.initial(text)},")
        return "\n".join([*lines, "}", "", "FUNCTIONS = {", *self.functions, "}", ""])


def main(arguments):
    if len(arguments) != 3:
        raise SystemExit(__doc__.strip())
    header, version, out = arguments
    text = Header(pathlib.Path(header).read_text(encoding="utf-8")).translate(version)
    pathlib.Path(out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
