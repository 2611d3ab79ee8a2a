"""What the wheel has besides the sources: the library, the header as ctypes declarations, the tag.

The library is $PHOSPHENE_LIBRARY, or is built here with CMake.
"""
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelHook(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version, build_data):
        if self.target_name != "wheel":
            raise RuntimeError("only wheels are built, from the whole repository: pip wheel --no-deps ./python")
        tree = Path(self.root).resolve().parent
        self.folder = tempfile.TemporaryDirectory(prefix="phosphene-wheel-")
        work = Path(self.folder.name)
        subprocess.run([sys.executable, tree / "tools/python_abi.py", tree / "include/phosphene.h",
                        self.metadata.version, work / "_abi.py"], check=True)
        given = os.environ.get("PHOSPHENE_LIBRARY")
        library = Path(given).resolve() if given else self.build(tree, work)
        build_data["force_include"].update({str(work / "_abi.py"): "phosphene/_abi.py",
                                            str(library): "phosphene/libphosphene.so"})
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def build(self, tree, work):
        subprocess.run(["cmake", "-S", tree, "-B", work / "build", "-DCMAKE_BUILD_TYPE=Release", "-DPH_TESTS=OFF"],
                       check=True)
        subprocess.run(["cmake", "--build", work / "build", "--target", "phosphene", "--parallel"], check=True)
        return (work / "build/src/libphosphene.so").resolve()

    def finalize(self, version, build_data, artifact_path):
        self.folder.cleanup()
