"""What the source calls, and what it depends on: S2, S7."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import torch

from bntt.io.checkpoint import CheckpointError
from bntt.io.pickled import read_pickled
from tests.architecture.source import FILES, ROOT, without_docstrings
from tests.promises.promise import Measured, Promise, adder

PROMISES: list[Promise] = []
promise = adder(PROMISES)
UNSAFE = """
import pickle, yaml, numpy as np, torch, subprocess, marshal
pickle.load(f); pickle.loads(b); torch.load(f); torch.load(f, weights_only=False); yaml.load(f)
eval(x); exec(x); tar.extractall(); zip.extractall(p); subprocess.run(c, shell=True); np.load(f, allow_pickle=True)
urlopen("http://example.org"); os.system(c); marshal.loads(b); pickle.Unpickler(f); shutil.unpack_archive(f)
"""
"""Sixteen unsafe calls, which the scan must see."""
NAMES = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "yaml.load"),
    *("eval", "exec", "os.system", "shutil.unpack_archive"),
}


@promise(
    "S2",
    "no unsafe call in source",
    "0 of: pickle.load(s), torch.load without weights_only=True, weights_only=False, yaml.load, eval/exec, "
    "extractall, shell=True, np.load(allow_pickle=True), http://",
)
def unsafe_calls() -> Measured:
    """Every call and text of every file of the library, by its syntax tree; the scan is shown each kind."""
    found = [f"{path.name}: {what}" for path in FILES for what in unsafe(path.read_text(encoding="utf-8"))]
    seen, made = len(list(unsafe(UNSAFE))), sum(isinstance(node, ast.Expr) for node in ast.parse(UNSAFE).body)
    said = f"{len(found)} in {len(FILES)} files{': ' + '; '.join(found[:3]) if found else ''}"
    return Measured(f"{said} (of {made} planted ones {seen} are seen)", not found and seen == made)


def unsafe(text: str) -> Iterator[str]:
    """The unsafe calls of a file, each once."""
    for node in ast.walk(without_docstrings(ast.parse(text))):
        if isinstance(node, ast.Call) and _is_unsafe(node):
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("http://"):
            yield node.value


def _is_unsafe(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    options = {option.arg: ast.unparse(option.value) for option in call.keywords}
    return (
        name in NAMES
        or name.endswith(".extractall")
        or (name == "torch.load" and options.get("weights_only") != "True")
        or options.get("weights_only") == "False"
        or options.get("shell") == "True"
        or options.get("allow_pickle") == "True"
    )


@promise(
    "S7",
    "dependencies are clean",
    "0 known vulnerabilities at release; torch < 2.10 refuses to import files of torch.save",
)
def dependencies() -> Measured:
    """pip-audit on what the library needs, where it is installed and its service answers; and the floor of torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floor = next(re.search(r">=([\d.]+)", line)[1] for line in project["dependencies"] if line.startswith("torch"))  # type: ignore[index]
    refused, audited = _older_torch_refuses(), _audited()
    said = f"the package asks for torch >= {floor}; at run time an older one is {'' if refused else 'NOT '}refused; "
    enough = tuple(map(int, floor.split("."))) >= (2, 10)
    if isinstance(audited, str):
        return Measured(f"{said}pip-audit not run: {audited}", None if enough and refused else False)
    known, count = audited
    return Measured(f"{said}{known} known vulnerabilities in {count} packages", enough and refused and known == 0)


def _older_torch_refuses() -> bool:
    """Whether a good file of torch.save is refused where PyTorch says that it is 2.9.1."""
    with tempfile.TemporaryDirectory() as folder, patch.object(torch, "__version__", "2.9.1"):
        path = Path(folder) / "x.pt"
        torch.save({"w": torch.ones(2)}, path)
        try:
            read_pickled(path)
        except CheckpointError as error:
            return "2.9" in str(error)
    return False


def _audited() -> tuple[int, int] | str:
    """Known vulnerabilities, and of how many packages; or why that is not known."""
    program = shutil.which("pip-audit")
    if program is None:
        return "it is not installed"
    pinned = "".join(f"{name}=={version}\n" for name, version in sorted(needed("bntt").items()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text(pinned, encoding="utf-8")
        command = [program, "-r", str(path), "--no-deps", "--disable-pip", "-f", "json", "--progress-spinner", "off"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    try:
        rows = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return f"it ended with {done.returncode} and no answer"
    if skipped := [row["name"] for row in rows if "skip_reason" in row]:
        return f"its service does not know {len(skipped)} of {len(rows)} packages"
    return sum(len(row["vulns"]) for row in rows), len(rows)


def needed(package: str) -> dict[str, str]:
    """The packages that this one needs as it is installed here, with theirs, by version; extras are left out."""
    versions, left = dict[str, str](), [package]
    while left:
        name = left.pop()
        if name in versions:
            continue
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        versions[name] = found.version.partition("+")[0]
        lines = [line for line in found.requires or [] if "extra ==" not in line]
        left += [re.match(r"[\w.-]+", line)[0].lower() for line in lines]  # type: ignore[index]
    versions.pop(package, None)
    return versions
