"""Sets of recordings of which one thing was changed: an error that says so or the frames, on the whole way.

A folder of recordings becomes frames in a prepared file, which is opened again. Changed is a recording, a prepared file
(with its checksum made right again, or not), or the folder: ``python -m tests.data.event_fuzz --cases 0``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from bntt.data.catalog import open_samples, prepare
from bntt.data.events.binning import Binning
from bntt.data.events.formats import Framing
from bntt.data.samples import FrameSplits
from bntt.io.errors import DataError
from bntt.io.files import digest
from tests import fakes
from tests.data.damaged import VERSION
from tests.data.event_fuzz import changed
from tests.data.events.aedat4_files import recording

PREPARED = ("train.safetensors", "test.safetensors", "manifest.json")


def davis_bytes(seed: int, count: int) -> bytes:
    rng = np.random.default_rng(seed)
    address = rng.integers(0, 346, count) << 12 | rng.integers(0, 260, count) << 22
    return VERSION + np.stack([address, np.sort(rng.integers(0, 9000, count))], 1).astype(">u4").tobytes()


@dataclass(frozen=True)
class Format:
    """Files of a format, and how they become frames."""

    make: Callable[[int], bytes]
    ending: str
    framing: Framing

    def write(self, root: Path) -> None:
        for number, name in enumerate(("cat/a", "cat/b", "dog/a", "dog/b")):
            path = root / f"{name}{self.ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.make(number))


SMALL = Binning(3, 4, 4)
FORMATS = {
    "dvs128": Format(lambda seed: fakes.aedat2_bytes(seed, count=20), ".aedat", Framing(SMALL, "aedat2")),
    "davis": Format(lambda seed: davis_bytes(seed, 20), ".aedat", Framing(SMALL, "aedat2-davis346")),
    "nmnist": Format(lambda seed: fakes.nmnist_bytes(seed, 20), ".bin", Framing(SMALL, "nmnist")),
    "npz": Format(lambda seed: fakes.npz_bytes(seed, 20), ".npz", Framing(SMALL, "npz", (60, 80))),
    "aedat4": Format(lambda seed: recording(seed, 20), ".aedat4", Framing(Binning(3, 3, 3), "aedat4")),
}
OURS = tuple(FORMATS)[:-1]
"""Those that no foreign package reads."""
IN_MEMORY = Path("/dev/shm")


def run(
    cases: int,
    first: int = 0,
    before: Callable[[int], None] = lambda case: None,
    *,
    formats: Sequence[str] = OURS,
) -> Counter[str]:
    """How many sets were opened, and how many refused.

    Args:
        before: called with the number of each case.
        formats: of the recordings.

    Raises:
        AssertionError: if anything else happens: another error, frames that do not hold all events, or other frames
            where the files are opened again.
    """
    seen, fast = Counter[str](), IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=fast) as folder, mock.patch.dict(os.environ, BNTT_DATA=f"{folder}/cache"):
        place = Path(folder).resolve()
        kept = {name: _prepared(place, name) for name in formats}
        for case in range(first, first + cases):
            before(case)
            rng = np.random.default_rng(case)
            name = formats[case % len(formats)]
            what = ("recording", "recording", "prepared file", "folder")[int(rng.integers(0, 4))]
            try:
                with CHANGES[what](place / name, kept[name], FORMATS[name], rng):
                    outcome = _opened(name, place, exact=what != "prepared file")
            except DataError as error:
                named = any(name in str(error) for name in (str(place), "cat/", "dog/", "class cat", "class dog"))
                outcome = "refused" if named else "refused without a name"
            except BaseException as error:
                raise AssertionError(f"case {case} ({name}, {what} changed): {error!r}") from error
            seen[f"{name}, {what} changed: {outcome}"] += 1
    return seen


def run_all(cases: int, first: int, before: Callable[[int], None]) -> Counter[str]:
    """Those of packages too, where they are installed."""
    return run(cases, first, before, formats=tuple(FORMATS) if importlib.util.find_spec("aedat") else OURS)


def _prepared(place: Path, name: str) -> Path:
    FORMATS[name].write(place / name)
    return prepare("events", place / name, framing=FORMATS[name].framing)[0]


def _opened(name: str, place: Path, *, exact: bool) -> str:
    """Open it twice, and look at everything."""
    splits, manifest = open_samples("events", FORMATS[name].framing, place / name)
    total = sum(_sum(splits))
    if exact:
        assert total == manifest.details["events"], f"{total} of {manifest.details['events']} events"
        again, same = open_samples("events", FORMATS[name].framing, place / name)
        assert same == manifest
        for one, two in zip(splits, again, strict=True):
            assert torch.equal(one.frames, two.frames)
            assert torch.equal(one.labels, two.labels)
    return "opened"


def _sum(splits: FrameSplits) -> Iterator[int]:
    for part in splits:
        batch = part.batch(torch.arange(len(part)))
        assert batch.shape[:3] == (len(part), 3, 2)
        yield int(batch.sum())


@contextmanager
def _recording(root: Path, folder: Path, kind: Format, rng: np.random.Generator) -> Iterator[None]:
    """One recording with bytes changed, to be prepared anew."""
    path = sorted(root.rglob(f"*{kind.ending}"))[int(rng.integers(0, 4))]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(changed(content, rng))
    with _aside(folder):
        try:
            yield
        finally:
            path.unlink()
            path.write_bytes(content)


@contextmanager
def _file(root: Path, folder: Path, kind: Format, rng: np.random.Generator) -> Iterator[None]:
    """One prepared file with bytes changed; or a value of the manifest; or the checksum too."""
    with _aside(folder) as pristine:
        shutil.copytree(pristine, folder)
        file = folder / PREPARED[int(rng.integers(0, len(PREPARED)))]
        content, facts = file.read_bytes(), json.loads((folder / "manifest.json").read_text())
        facts.pop("checksum", None)
        if file.name == "manifest.json" and rng.integers(0, 2):
            _other_value(facts, rng)
            file.write_text(json.dumps(facts))
        else:
            file.write_bytes(changed(content, rng))
            if file.suffix == ".safetensors" and rng.integers(0, 4):
                facts["sha256"][file.stem] = digest(file)
                (folder / "manifest.json").write_text(json.dumps(facts))
        yield


def _other_value(facts: dict[str, object], rng: np.random.Generator) -> None:
    key = list(facts)[int(rng.integers(0, len(facts)))]
    facts[key] = (None, 3, -1.5, "x", [], {}, [["x"]], {"train": "x", "test": 2}, True)[int(rng.integers(0, 9))]


@contextmanager
def _folder(root: Path, folder: Path, kind: Format, rng: np.random.Generator) -> Iterator[None]:
    """Something of the folder taken away, doubled, renamed or added."""
    pristine = root.with_name(f"{root.name} pristine")
    root.rename(pristine)
    try:
        shutil.copytree(pristine, root)
        paths = sorted(root.rglob(f"*{kind.ending}"))
        one, two = (paths[int(place)] for place in rng.integers(0, len(paths), 2))
        match int(rng.integers(0, 9)):
            case 0:
                one.unlink()
            case 1:
                shutil.rmtree(one.parent)
            case 2:
                one.write_bytes(two.read_bytes())
            case 3:
                one.rename(one.with_suffix(".x"))
            case 4:
                (root / "bird").mkdir()
            case 5:
                one.unlink()
                one.symlink_to(two if rng.integers(0, 2) else root)
            case 6:
                one.unlink()
                one.mkdir()
            case 7:
                shutil.copy(one, root / "train")
            case 8:
                one.unlink()
                os.mkfifo(one)
        with _aside(folder):
            yield
    finally:
        shutil.rmtree(root)
        pristine.rename(root)


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """The prepared folder away, and back."""
    pristine = folder.with_name(f"{folder.name} pristine")
    folder.rename(pristine)
    try:
        yield pristine
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        pristine.rename(folder)


CHANGES = {"recording": _recording, "prepared file": _file, "folder": _folder}
