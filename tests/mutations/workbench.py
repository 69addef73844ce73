"""A fault in a copy of the project: kernels built from its sources, tests run in it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from tests.mutations.faults import FAULTS

ROOT = Path(__file__).parents[2]
OBJECTS = Path(tempfile.gettempdir()) / f"bntt-mutation-objects-{os.getuid()}"
"""Compiled sources by what they were compiled from."""
QUICK = ["-O1"]
"""After the project's flags: a mutation is compiled to be tested once."""


class Mutation(NamedTuple):
    """One change of one place, and the tests of which one must fail for it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def place(self, root: Path) -> Path:
        """The file in which the old text occurs.

        Raises:
            ValueError: if it does not occur exactly once.
        """
        texts = {path: path.read_text(encoding="utf-8") for path in sorted((root / "src" / "bntt").glob(self.file))}
        count = {path: text.count(self.old) for path, text in texts.items() if self.old in text}
        if list(count.values()) != [1]:
            raise ValueError(f"{self.name}: its old text must occur once in {self.file}, found {count}")
        return next(iter(count))

    def apply(self, root: Path) -> Path:
        """Change the file in the copy of the project that is at ``root``."""
        path = self.place(root)
        path.write_text(path.read_text(encoding="utf-8").replace(self.old, self.new), encoding="utf-8")
        return path


MUTATIONS = [
    Mutation(name, file, old, new, tuple(tests))
    for (file, *tests), rows in FAULTS.items()
    for name, (old, new) in rows.items()
]


def copy_project(root: Path, to: Path) -> None:
    """All that a test run reads."""
    ignored = shutil.ignore_patterns("__pycache__", ".git", ".venv*", "build", "dist", ".*_cache", "*.egg-info")
    for name in ("src", "tests", "docs", "examples", "benchmarks"):
        shutil.copytree(root / name, to / name, ignore=ignored)
    for path in root.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, to)


def build_kernels(root: Path) -> None:
    """Compile the copy's kernels into the copy.

    Raises:
        subprocess.CalledProcessError: if they do not compile.
    """
    (extension,) = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    flags = [*extension["extra-compile-args"], "-fPIC", *QUICK]
    objects = [str(_object(root / source, flags)) for source in extension["sources"]]
    target = root / "src" / Path(*extension["name"].split(".")).with_suffix(".so")
    subprocess.run([_compiler(), "-shared", *objects, *extension["extra-link-args"], "-o", str(target)], check=True)


def _object(source: Path, flags: list[str]) -> Path:
    key = hashlib.sha256(repr((source.name, flags, [p.read_bytes() for p in _read_by(source)])).encode()).hexdigest()
    made = OBJECTS / f"{source.stem}-{key[:24]}.o"
    if not made.exists():
        OBJECTS.mkdir(exist_ok=True)
        half = made.with_suffix(f".{os.getpid()}")
        subprocess.run([_compiler(), *flags, "-c", str(source), "-o", str(half)], check=True)
        half.rename(made)
    return made


def _read_by(source: Path) -> list[Path]:
    """A source and what it includes, in order."""
    found = [source]
    for path in found:
        for name in re.findall(r'#include "(.+?)"', path.read_text(encoding="utf-8")):
            if path.with_name(name) not in found:
                found.append(path.with_name(name))
    return found


def _compiler() -> str:
    return os.environ.get("CXX", "g++")


def first_failure(root: Path, tests: tuple[str, ...]) -> str | None:
    """The first test that fails in the copy, or crashes; None if all pass.

    Raises:
        RuntimeError: if pytest could not run them.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-vv", "--tb=no", "-rfE", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    if done.returncode < 0 and (begun := re.findall(r"^\S+?::[^\n]*", done.stdout, re.M)):
        return f"a crash in {begun[-1].strip()}"
    if failed := re.search(r"^(?:FAILED|ERROR) (\S+?::[^\n]+?)(?: - [^\n]*)?$", done.stdout, re.M):
        return failed[1]
    raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
