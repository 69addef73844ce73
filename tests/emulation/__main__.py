"""Kernels for machines that are not here: ``python -m tests.emulation``.

For 64-bit ARM they are compiled and run under qemu: every array that ``tests/kernels/driver.cpp`` makes must have the
bits that the portable kernels have here. For Windows they are compiled and not run. On Debian these need the packages
g++-aarch64-linux-gnu, qemu-user and g++-mingw-w64-x86-64-posix.
"""

from __future__ import annotations

import collections
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from bntt.engine.cpu import library

ROOT = Path(__file__).parents[2]
(KERNELS,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
DRIVER = ROOT / "tests" / "kernels" / "driver.cpp"
ARM, QEMU, WINDOWS = "aarch64-linux-gnu-g++", "qemu-aarch64", "x86_64-w64-mingw32-g++-posix"


def compile_with(compiler: str, *arguments: str | Path) -> None:
    """Compile with the project's options and others."""
    options = [*KERNELS["extra-compile-args"], "-Isrc/bntt/engine/cpu"]
    subprocess.run([compiler, *options, *map(str, arguments)], cwd=ROOT, check=True)


def printed_by(*command: str | Path) -> list[tuple[str, str]]:
    """Return what a driver prints: names of arrays and their hashes."""
    done = subprocess.run([*map(str, command), "print"], check=True, stdout=subprocess.PIPE, text=True)
    *lines, last = done.stdout.splitlines()
    assert last == "all kernels ran", last
    return [(name, value) for name, _, value in (line.rpartition(" ") for line in lines)]


def compare_arm(place: Path) -> int:
    """Print how many arrays of each kind are the same here and on ARM; return how many are not."""
    compile_with("g++", DRIVER, library.LIBRARY._name, "-o", place / "here")
    compile_with(ARM, "-static", DRIVER, *KERNELS["sources"], "-o", place / "arm")
    here, arm = printed_by(place / "here"), printed_by(QEMU, place / "arm")
    assert [name for name, _ in here] == [name for name, _ in arm]
    same = collections.Counter(name for (name, one), (_, other) in zip(here, arm, strict=True) if one == other)
    for name, count in collections.Counter(name for name, _ in here).items():
        print(f"aarch64, emulated: {name} the same in {same[name]} of {count} cases")
    return len(here) - same.total()


def main() -> int:
    if missing := [name for name in (ARM, QEMU, WINDOWS) if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)}; {__doc__.split('. ')[-1].strip()}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bntt-emulation-") as folder:
        different = compare_arm(Path(folder))
        compile_with(WINDOWS, "-O0", "-shared", "-static", *KERNELS["sources"], "-o", Path(folder) / "kernels.dll")
        print("Windows, x86_64: compiled, not run")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
