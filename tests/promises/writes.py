"""What data must be before it is used, and where a run writes: S5, S6."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bntt.data.catalog import prepared_folder
from bntt.data.samples import DATASETS, Published
from tests import fakes
from tests.faults.user import SMALL, bntt, prepare
from tests.promises.audit import recorded
from tests.promises.promise import Measured, Promise, adder

PROMISES: list[Promise] = []
promise = adder(PROMISES)
PLACES = 25
"""Bytes of which a bit is flipped in every file, one at a time."""
NAMES = ("../escaped", "a/../../escaped", "OUTSIDE", "x" * 300, "..", "a\0b")
"""Names of runs that lead elsewhere, or nowhere."""
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


@promise(
    "S5",
    "data is what it claims",
    "one byte flipped in each dataset file: refused before parsing; SHA-256 in results; no download unless asked; "
    "0 sockets, also where there is no network",
)
def claimed_data() -> Measured:
    """A flipped bit in prepared and in published files; a training that is watched, and one without a network."""
    with home() as folder:
        flips = {**_prepared_flips(folder / "work"), **_published_flips(folder / "work")}
        with recorded([folder]) as seen:
            code = bntt(*TRAIN)
        kept = json.loads((folder / "work/runs/demo/environment.json").read_text(encoding="utf-8"))
        alone = _without_network(folder)
    sums = len(kept["data"]["sha256"])
    refused, tried = (sum(column) for column in zip(*flips.values(), strict=True))
    passed = {name: tried - refused for name, (refused, tried) in flips.items() if refused < tried}
    said = f"{refused} of {tried} flips in {len(flips)} files refused"
    said += f" (not noticed: {', '.join(f'{count} in {name}' for name, count in passed.items())})" if passed else ""
    said += f"; {sums} SHA-256 kept with a run; {len(seen.sockets)} sockets in a training; without a network: {alone}"
    return Measured(said, not passed and sums == 2 and not seen.sockets and code == "exit 0" and alone == "exit 0")


Flips = dict[str, tuple[int, int]]
"""By file: how many were refused, and of how many."""


def _prepared_flips(folder: Path) -> Flips:
    images = fakes.write_image_folder(folder / "mine")
    prepare("images", images)
    recipe = _recipe(folder, images)
    files = sorted(prepared_folder("images", images).iterdir())
    return {path.name: _flips(path, lambda: bntt("data", "show", str(recipe))) for path in files}


def _recipe(folder: Path, images: Path) -> Path:
    path = folder / "mine.toml"
    tables = f'data = {{ name = "images", root = "{images}" }}\nnetwork = {{ name = "mlp", num_steps = 2 }}\n'
    path.write_text(f"{tables}train = {{ epochs = 1, batch_size = 4 }}\n", encoding="utf-8")
    return path


def _published_flips(folder: Path) -> Flips:
    """Small files in the place of the published ones, whose checksums are theirs."""
    tar = fakes.write_cifar_tar(folder / "cifar-10-binary.tar.gz")
    idx = fakes.write_mnist(folder / "idx")
    found: Flips = {}
    for name, source in (("cifar10", tar), ("mnist", idx)):
        files = [source] if source.is_file() else sorted(source.iterdir())
        sums = {path.name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in files}
        known = tuple(dataclasses.replace(one, md5=sums.get(one.name, one.md5)) for one in _published(name, files))
        with patch.dict(DATASETS, {name: dataclasses.replace(DATASETS[name], published=known)}):
            for path in files:
                found[path.name] = _flips(path, partial(_checked, name, source))
    return found


def _published(name: str, files: list[Path]) -> tuple[Published, ...]:
    known = DATASETS[name].published
    if {one.name for one in known} != {path.name for path in files}:
        raise RuntimeError(f"{name} is published as {[one.name for one in known]}")
    return known


def _checked(name: str, source: Path) -> str:
    """What preparing says; "exit 3" only where the checksum is the reason."""
    said = bntt("data", "prepare", name, "--from", str(source))
    return said if "its checksum differs" in said else "read"


def _flips(path: Path, read: Callable[[], str]) -> tuple[int, int]:
    """How often a flipped bit is refused, and of how many."""
    whole, refused = path.read_bytes(), 0
    places = np.random.default_rng(0).choice(len(whole), PLACES, replace=False)
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        refused += read().startswith("exit 3")
    path.write_bytes(whole)
    return refused, len(places)


def _without_network(folder: Path) -> str:
    """The same training in a name space that has no network."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode:
        return "not run (unshare -n is not permitted)"
    command = [unshare, "-n", sys.executable, "-m", "bntt", *TRAIN, "--name", "alone"]
    done = subprocess.run(command, cwd=folder / "work", capture_output=True, check=False)
    return f"exit {done.returncode}"


@promise(
    "S6",
    "writes stay in the run directory",
    "a full run under an audit hook, run names with ../, NUL, 300 characters: 0 writes outside the run directory, the "
    "cache and the folder for temporary files",
)
def writes() -> Measured:
    """A training and an evaluation, and a training under every name; the folder around is listed afterwards."""
    with home() as folder:
        run = folder / "work" / "runs"
        run.mkdir()
        allowed = [folder / "cache", folder / "home" / ".cache", folder / "temporary"]
        with recorded([run / "demo", *allowed]) as seen:
            codes = [bntt(*TRAIN), bntt("evaluate", str(run / "demo"))]
        inside, ends = seen.inside, dict[str, str]()
        outside = [one for one in seen.writes if one != f"os.mkdir {run}"]  # which is there, and is asked for
        for name in NAMES:
            given = name.replace("OUTSIDE", str(folder / "escaped"))
            with recorded([run, *allowed]) as seen:
                ends[name] = bntt(*TRAIN, "--name", given)
            outside += seen.writes
        left = {path.name for path in (*folder.iterdir(), *(folder / "work").iterdir())}
        strangers = left - {"home", "cache", "work", "temporary", "runs"}
    refused = sum(not end.startswith("exit 0") for end in ends.values())
    said = f"{len(outside)} writes outside, {inside:,} within, {len(seen.sockets)} sockets; of {len(NAMES)} names "
    said += f"{refused} refused, {len(strangers)} left something beside the runs"
    said += f" ({', '.join(sorted({one.replace(str(folder), '...')[:60] for one in outside})[:3])})" if outside else ""
    return Measured(said, not outside and not strangers and codes == ["exit 0"] * 2 and inside > 0)
