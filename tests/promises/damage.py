"""Files that are damaged or hostile: R5, S1, S3."""

from __future__ import annotations

import io
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bntt.data.events.formats import read_event_archive
from bntt.io.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from bntt.io.errors import DataError
from bntt.io.pickled import read_pickled
from bntt.models import mlp
from bntt.runs.directory import Checkpoints
from tests.architecture.source import ROOT
from tests.hostile.runs import signed
from tests.io.test_pickled import BOMBS, Code, dangerous
from tests.promises.promise import Measured, NotRunError, Promise, adder

PROMISES: list[Promise] = []
promise = adder(PROMISES)
FUZZED = ROOT / "quality" / "fuzz.json"
FLIPS, CUTS = 1000, 64


@promise(
    "R5",
    "corruption is detected",
    "1,000 random flips of a bit, 64 truncations, swapped parts: 100 % detected before a tensor reaches the model; "
    "the fallback to the checkpoint before is named in one line",
)
def corruption() -> Measured:
    """A checkpoint of a network, damaged in every way and read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        net = mlp(in_features=16, hidden=(32,), num_classes=4, num_steps=4, seed=1)
        write_checkpoint(path, {f"model.{name}": value for name, value in net.state_dict().items()}, {"epoch": 3})
        whole = path.read_bytes()
        counts = {what: (sum(_refused(path, one) for one in made), len(made)) for what, made in damaged(whole).items()}
        fallback = _fallback(Path(folder))
    said = ", ".join(f"{seen:,} of {made:,} {what}" for what, (seen, made) in counts.items())
    well = all(seen == made for seen, made in counts.values()) and fallback
    return Measured(f"{said} detected; the fallback is {'named' if fallback else 'NOT named'} in one line", well)


def damaged(whole: bytes) -> dict[str, list[bytes]]:
    """The same file with bits flipped, cut off, and with parts that changed places."""
    rng = np.random.default_rng(0)
    flips = [_flipped(whole, int(bit)) for bit in rng.choice(8 * len(whole), FLIPS, replace=False)]
    cuts = [whole[: int(size)] for size in rng.choice(len(whole), CUTS, replace=False)]
    size = len(whole) // 8
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    swaps = []
    for one in range(len(parts) - 1):
        for other in range(one + 1, len(parts)):
            order = list(parts)
            order[one], order[other] = order[other], order[one]
            swaps.append(b"".join(order))
    return {"flips": flips, "truncations": cuts, "swaps of parts": [made for made in swaps if made != whole]}


def _flipped(whole: bytes, bit: int) -> bytes:
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _refused(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        read_checkpoint(path)
    except CheckpointError:
        return True
    return False


def _fallback(folder: Path) -> bool:
    """Whether a damaged last checkpoint gives way to the one before, in a line that names it."""
    kept = Checkpoints(folder)
    for updates in (1, 2):
        last = kept.write(updates, {"x": torch.ones(9)}, {}, last=2)
    last.write_bytes(_flipped(last.read_bytes(), 8 * last.stat().st_size - 1))
    found = kept.latest()
    (line,) = found.skipped
    return found.path.name == "step-000000001.safetensors" and last.name in line and "\n" not in line


class Read(NamedTuple):
    """What came of a file, in a process of its own."""

    refused: bool
    seconds: float
    grown: int
    """Bytes of memory beyond those that the process began with."""
    peak: int


@promise(
    "S1",
    "no code runs from files",
    ">= 25 hostile files: 0 canaries, 100 % refused, within 2 s and 300 MB of memory each",
)
def hostile_files() -> Measured:
    """Files of torch.save, checkpoints and archives of arrays, each read in a process of its own beside a canary."""
    found = dict[str, Read]()
    with tempfile.TemporaryDirectory() as place:
        folder, canary = Path(place), Path(place) / "canary"
        torch.save({"w": torch.ones(2)}, folder / "good.pt")
        read_pickled(folder / "good.pt")  # what reading imports is there before
        for name, path, read in hostile(folder, canary):
            found[name] = _apart(partial(read, path))
        canaries = int(canary.exists())
    taken = [name for name, one in found.items() if not one.refused]
    slowest, largest = max(found, key=lambda name: found[name].seconds), max(found, key=lambda name: found[name].grown)
    seconds, grown = found[slowest].seconds, found[largest].grown / 1e6
    said = f"{len(found)} files: {canaries} canaries, {len(found) - len(taken)} refused"
    said += f" (read: {', '.join(taken)})" if taken else ""
    said += f"; at most {seconds:.2f} s ({slowest}) and {grown:.0f} MB ({largest}) beyond the "
    said += f"{found[largest].peak / 1e6 - grown:.0f} MB of a process with PyTorch"
    return Measured(said, len(found) >= 25 and not canaries and not taken and seconds <= 2 and grown <= 300)


Reader = Callable[[Path], Any]


def hostile(folder: Path, canary: Path) -> Iterator[tuple[str, Path, Reader]]:
    """Name, place and reader of each."""
    for name, content in {**dangerous(canary), **BOMBS}.items():
        yield name, _written(folder / "x.pth.tar", content), read_pickled
    for name, content in checkpoints().items():
        yield name, _written(folder / "x.safetensors", content), read_checkpoint
    for name, target in (("a link to another file", "/etc/hostname"), ("a link to a device", "/dev/zero")):
        link = folder / "link.safetensors"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        yield name, link, read_checkpoint
    arrays = io.BytesIO()
    columns = {name: np.arange(3) for name in "tyx"}
    np.savez(arrays, p=np.array([Code(canary)] * 3, dtype=object), **columns)
    yield "an archive of arrays with an object", _written(folder / "x.npz", arrays.getvalue()), read_events


def read_events(path: Path) -> object:
    return read_event_archive(path, height=9, width=9)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def checkpoints() -> dict[str, bytes]:
    """safetensors that lie, under a checksum that is right for them."""
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    heads: dict[str, dict[str, Any]] = {
        "tensors that overlap": {"a": one, "b": one},
        "a tensor behind the end": {"a": {**one, "data_offsets": [8, 16]}},
        "a hole between tensors": {"a": one, "b": {**one, "data_offsets": [12, 20]}},
        "a huge shape": {"a": {**one, "shape": [1 << 40, 1 << 20]}},
        "a shape beyond 64 bits": {"a": {**one, "shape": [1 << 62, 1 << 62]}},
        "a negative size": {"a": {**one, "shape": [-2]}},
        "a type that is none": {"a": {**one, "dtype": "object"}},
        "a name with dots": {"../../a": {**one, "data_offsets": [0, 1 << 50]}},
    }
    made = {name: signed(_safetensors(head)) for name, head in heads.items()}
    made["a head of 100 MB"] = _safetensors({"a": one}, padding=100 << 20)
    made["a head of 2**63 bytes"] = (1 << 63).to_bytes(8, "little") + b"{}"
    made["lists a million deep"] = _safetensors({"a": one})[:8] + b"[" * 1_000_000
    return made


def _safetensors(head: dict[str, Any], padding: int = 0) -> bytes:
    notes = {"format": "2", "sha256": "0" * 64, "facts": "{}"}
    text = json.dumps({"__metadata__": notes, **head}, ensure_ascii=False).encode() + b" " * padding
    return len(text).to_bytes(8, "little") + text + bytes(20)


def _apart(read: Callable[[], object]) -> Read:
    """In a forked process, which tells through a pipe; one that tells nothing was not refused."""
    out, into = os.pipe()
    if not (child := os.fork()):
        with suppress(BaseException):
            os.write(into, _told(read))
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as told:
        said = told.read()
    os.waitpid(child, 0)
    return Read(*json.loads(said)) if said else Read(False, float("inf"), 1 << 40, 1 << 40)


def _told(read: Callable[[], object]) -> bytes:
    before, began, refused = _peak(), time.perf_counter(), False
    try:
        read()
    except (CheckpointError, DataError):
        refused = True
    seconds = time.perf_counter() - began
    return json.dumps([refused, seconds, _peak() - before, _peak()]).encode()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@promise(
    "S3",
    "hostile bytes give typed errors",
    "100,000 changed files by hand: 0 untyped errors, 0 hangs > 2 s, memory <= 512 MB",
)
def fuzzed() -> Measured:
    """The sum of quality/fuzz.json, which ``python -m tests.hostile --inputs N --keep quality/fuzz.json`` makes."""
    if not FUZZED.is_file():
        raise NotRunError(
            "there is no quality/fuzz.json: python -m tests.hostile --inputs 1000000 --keep quality/fuzz.json"
        )
    rows = [json.loads(line) for line in FUZZED.read_text(encoding="utf-8").splitlines() if line]
    findings, slowest = sum(len(row["findings"]) for row in rows), max(row["slowest"] for row in rows)
    seen = {what: sum(row["seen"].get(what, 0) for row in rows) for what in ("read", "refused")}
    inputs, grown = sum(seen.values()) + findings, max(row["growth"] for row in rows) / 1e6
    said = f"{inputs:,} changed files of {len({row['format'] for row in rows})} formats: {seen['read']:,} read, "
    said += (
        f"{seen['refused']:,} refused in words, {findings:,} findings; at most {slowest:.2f} s and {grown:.0f} MB more"
    )
    return Measured(said, inputs >= 100_000 and not findings and slowest <= 2 and grown <= 512)
