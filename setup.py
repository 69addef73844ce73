"""Builds the kernels as a plain shared library, which ctypes opens: one wheel serves every Python of a platform.

Without a compiler it builds a wheel for every platform, py3-none-any; with BNTT_REQUIRE_KERNELS=1 it fails instead.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, CompileError

SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
REQUIRED = os.environ.get("BNTT_REQUIRE_KERNELS", "0") not in ("", "0")


class BuildKernels(build_ext):
    """Compiles ``kernels.so``, which is no module of Python's: no suffix of a version, no ``PyInit``."""

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split(".")).with_suffix(SUFFIX))

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []

    def build_extension(self, ext: Extension) -> None:
        if sys.platform == "linux":
            ext.extra_link_args.append("-Wl,--strip-all")
        try:
            super().build_extension(ext)
        except (CCompilerError, CompileError, BaseError) as error:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)  # an earlier build's is not this one's
            if REQUIRED:
                ext.optional = False
                raise CompileError(
                    f"the kernels do not compile ({error}), and BNTT_REQUIRE_KERNELS is set: install a C++17 compiler "
                    f"(g++ or clang++), or unset it to build without kernels"
                ) from error
            raise


class Wheel(bdist_wheel):
    """Is for one platform if it has kernels, for all if it has none; for no version of Python alone."""

    def get_tag(self) -> tuple[str, str, str]:
        self.root_is_pure = not all(map(os.path.exists, self.get_finalized_command("build_ext").get_outputs()))
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel})
