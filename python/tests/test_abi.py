"""The declarations against what a C compiler makes of the header; and what importing costs."""
import ctypes
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from phosphene import _abi, _native

STRUCTS = [value for value in vars(_abi).values()
           if isinstance(value, type) and issubclass(value, ctypes.Structure) and value is not ctypes.Structure]


def c_value(path, ctype):
    """C that prints one member of an initialised struct."""
    if issubclass(ctype, ctypes.Structure):
        return "".join(c_value(f"{path}.{name}", member) for name, member in ctype._fields_)
    if ctype is ctypes.c_char_p:
        return f'puts({path} ? {path} : "(null)");\n'
    if ctype in (ctypes.c_double, ctypes.c_float):
        return f'printf("%a\\n", (double){path});\n'
    if hasattr(ctype, "contents") or ctype is ctypes.c_void_p or issubclass(ctype, ctypes._CFuncPtr):
        return f'puts({path} ? "set" : "(null)");\n'
    return f'printf("%lld\\n", (long long){path});\n'


def python_value(value, ctype):
    if issubclass(ctype, ctypes.Structure):
        return [line for name, member in ctype._fields_ for line in python_value(getattr(value, name), member)]
    if ctype is ctypes.c_char_p:
        return ["(null)" if value is None else value.decode()]
    if ctype in (ctypes.c_double, ctypes.c_float):
        return [float(value)]
    if hasattr(ctype, "contents") or ctype is ctypes.c_void_p or issubclass(ctype, ctypes._CFuncPtr):
        return ["set" if value else "(null)"]
    return [str(int(value))]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Run the body of a main() over the header; its lines."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")

    def run(body):
        folder = tmp_path_factory.mktemp("abi")
        source = f"#include <phosphene.h>\n#include <stdio.h>\nint main(void) {{\n{body}return 0;\n}}\n"
        (folder / "abi.c").write_text(source)
        subprocess.run([compiler, "-std=c17", f"-I{ROOT}/include", folder / "abi.c", "-o", folder / "abi"], check=True)
        return subprocess.run([folder / "abi"], check=True, capture_output=True, text=True).stdout.splitlines()

    return run


def test_every_size_and_offset(compiled):
    body, ours = "", []
    for struct in STRUCTS:
        name = struct.__name__
        body += f'printf("{name} %zu\\n", sizeof({name}));\n'
        ours.append(f"{name} {ctypes.sizeof(struct)}")
        for field, *_ in struct._fields_:
            body += f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));\n'
            ours.append(f"{name}.{field} {getattr(struct, field).offset} {getattr(struct, field).size}")
    assert len(STRUCTS) > 30
    assert compiled(body) == ours


def test_every_default(compiled):
    body, ours = "", []
    for struct in _abi.INIT:
        name = struct.__name__
        body += f"{{ {name} o = {name.upper()}_INIT;\n{c_value('o', struct)} }}\n"
        ours += python_value(_native.initial(struct), struct)
    theirs = compiled(body)
    assert len(ours) == len(theirs) > 100
    for mine, other in zip(ours, theirs):
        assert mine == (float.fromhex(other) if isinstance(mine, float) else other)


def test_every_constant(compiled):
    names = [name for name, value in vars(_abi).items() if name.isupper() and isinstance(value, int)]
    lines = compiled("".join(f'printf("%lld\\n", (long long)PH_{name});\n' for name in names))
    assert len(names) > 40 and lines == [str(getattr(_abi, name)) for name in names]


def test_everything_that_is_declared_is_there():
    library = _native.library()
    header = (ROOT / "include/phosphene.h").read_text()
    assert header.count("\nPH_API ") == len(_abi.FUNCTIONS)
    for name in _abi.FUNCTIONS:
        assert getattr(library, name)


def in_a_new_python(program):
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=os.environ).stdout


def test_importing_loads_nothing_but_the_standard_library():
    """So that it is quick: what is large is loaded when needed, the library of C too."""
    program = ("import sys; before = set(sys.modules); import phosphene; "
               "print(*{name.split('.')[0] for name in set(sys.modules) - before}); "
               "assert phosphene._native.library.cache_info().currsize == 0, 'loaded when needed'")
    loaded = set(in_a_new_python(program).split())
    assert "phosphene" in loaded and loaded - {"phosphene"} <= sys.stdlib_module_names
