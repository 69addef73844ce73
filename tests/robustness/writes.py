"""What the source calls, what data must be before it is used, and where a run writes: S2, S5, S6."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bntt.data.samples import DATASETS
from tests import fakes
from tests.architecture.source import FILES, code_of
from tests.robustness.promise import Measured, promise
from tests.robustness.user import SMALL, bntt
from tests.robustness.watch import watched

UNSAFE = re.compile(
    r"""\b(pickle|marshal)\.(loads?|Unpickler)\(|\b(yaml\.load|os\.system|shutil\.unpack_archive)\(|\.extractall\(
    |(?<![\w.])(eval|exec)\([^)]|\b(shell|allow_pickle)=True|\bweights_only=False|['"]http://
    |(?<!safetensors\.)\btorch\.load\((?!.*weights_only=True)""",
    re.VERBOSE,
)
"""In code as ``ast.unparse`` writes it: a call on one line, without docstrings and comments."""


@promise("S2", "no pickle, eval, exec, shell, unsafe loading or unpacking, http:// in the source")
def unsafe_calls() -> Measured:
    """Every file of the library."""
    found = [f"{path.name}: {match[0]}" for path in FILES for match in UNSAFE.finditer(code_of(path))]
    return Measured(f"{len(found)} in {len(FILES)} files{': ' + found[0] if found else ''}", not found)


TRAIN = ["train", "demo", *SMALL, "-s", "evaluate.draws=1"]


@contextmanager
def home() -> Iterator[Path]:
    """A folder with a home, a cache, a place to work in and one for temporary files; a run knows no other."""
    with tempfile.TemporaryDirectory() as place:
        folder, before = Path(place).resolve(), Path.cwd()
        for name in ("home", "cache", "work", "temporary"):
            (folder / name).mkdir()
        settings = {"HOME": f"{folder}/home", "BNTT_DATA": f"{folder}/cache", "TMPDIR": f"{folder}/temporary"}
        with patch.dict(os.environ, settings), patch.object(tempfile, "tempdir", f"{folder}/temporary"):
            os.chdir(folder / "work")
            try:
                yield folder
            finally:
                os.chdir(before)


@promise("S5", "a flipped bit of a dataset file is refused; no socket in a training, nor a need of a network")
def claimed_data() -> Measured:
    """In published files (prepared ones: tests/data); a training that is watched, and one without a network."""
    with home() as folder:
        refused = published_flips(folder / "work")
        with watched(folder) as seen:
            code = bntt(*TRAIN).code
        kept = json.loads((folder / "work/runs/demo/environment.json").read_text(encoding="utf-8"))
        alone = _without_network(folder)
    sums = len(kept["data"]["sha256"])
    said = f"{sum(refused)} of {len(refused)} flips refused; {sums} SHA-256 kept with a run; "
    said += f"{len(seen.sockets)} sockets in a training; without a network: {alone}"
    return Measured(said, all(refused) and sums == 2 and not seen.sockets and code == 0 and alone == "exit 0")


def published_flips(folder: Path) -> list[bool]:
    """Small files in the place of the published ones, whose checksums are theirs: is a flip refused for that?"""
    refused, rng = list[bool](), np.random.default_rng(0)
    tar, idx = fakes.write_cifar_tar(folder / "cifar-10-binary.tar.gz"), fakes.write_mnist(folder / "idx")
    for name, source, files in (("cifar10", tar, [tar]), ("mnist", idx, sorted(idx.iterdir()))):
        sums = {path.name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in files}
        known = tuple(dataclasses.replace(one, md5=sums[one.name]) for one in DATASETS[name].published)
        with patch.dict(DATASETS, {name: dataclasses.replace(DATASETS[name], published=known)}):
            for path in files:
                whole = path.read_bytes()
                for place in rng.choice(len(whole), 25, replace=False):
                    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
                    came = bntt("data", "prepare", name, "--from", source)
                    refused.append(came.code == 3 and "--allow-modified-data" in came.said)
                path.write_bytes(whole)
    return refused


def _without_network(folder: Path) -> str:
    """The same training in a name space that has no network."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode:
        return "not run (unshare -n is not permitted)"
    command = [unshare, "-n", sys.executable, "-m", "bntt", *TRAIN, "--name", "alone"]
    return f"exit {subprocess.run(command, cwd=folder / 'work', capture_output=True, check=False).returncode}"


@promise("S6", "a run writes in its directory, the cache and the folder for temporary files, whatever its name")
def writes() -> Measured:
    """A training and an evaluation, and a training under names that lead elsewhere; the folder around is listed."""
    names = ("../escaped", "a/../../escaped", "OUTSIDE", "x" * 300, "..", "a\0b")
    with home() as folder:
        run = folder / "work" / "runs"
        run.mkdir()
        allowed = [folder / "cache", folder / "home" / ".cache", folder / "temporary"]
        with watched(run / "demo", *allowed) as seen:
            codes = [bntt(*TRAIN).code, bntt("evaluate", run / "demo").code]
        outside = [one for one in seen.writes if one != f"os.mkdir {run}"]  # which is there, and is asked for
        with watched(run, *allowed) as more:
            refused = sum(
                bntt(*TRAIN, "--name", name.replace("OUTSIDE", f"{folder}/escaped")).code != 0 for name in names
            )
        outside += more.writes
        left = {path.name for path in (*folder.iterdir(), *(folder / "work").iterdir())}
    strangers = left - {"home", "cache", "work", "temporary", "runs"}
    said = f"{len(outside)} writes outside, {seen.inside:,} within, {len(seen.sockets)} sockets; of {len(names)} names "
    said += f"{refused} refused, {len(strangers)} left something beside the runs{outside[:1] or ''}"
    return Measured(said, not (outside or strangers) and codes == [0, 0] and seen.inside > 0)
