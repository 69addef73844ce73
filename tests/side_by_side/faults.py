"""The faults: each is done to a contender in a folder, and says in a few words what came of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bntt.data.images import fashion_mnist_bundled
from tests.fakes import idx_bytes
from tests.side_by_side.contenders import Contender

PATIENCE = 240.0
"""Seconds for anything."""
KILLS = 10
LONG = 10_000
"""Epochs that nobody waits for."""


def write(folder: Path, train: int = 640, label: int | None = None) -> Path:
    """MNIST's files with a few bundled images, as torchvision and bntt read them; the tenth may have another label."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    splits = fashion_mnist_bundled()
    for stem, part, count in (("train", splits.train, train), ("t10k", splits.test, 320)):
        labels = part.labels[:count].numpy().astype(np.uint8)
        if label is not None and stem == "train":
            labels[9] = label
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(part.images[:count, 0].numpy()))
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and the last line that says something."""
    output, _ = process.communicate(timeout=PATIENCE)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return process.returncode, (lines[-1] if lines else "")[:160]


def keeping(contender: Contender, data: Path, out: Path, epochs: int = LONG) -> subprocess.Popen[str]:
    """A training that has kept something."""
    process, end = contender.start(data, out, epochs), time.monotonic() + PATIENCE
    while not contender.latest(out).exists():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{contender.name} kept nothing: {ended(process)}")
        time.sleep(0.02)
    time.sleep(0.3)
    return process


def killed_run(contender: Contender, data: Path, out: Path) -> Path:
    """A run of eight epochs that was killed after it had kept something; its latest checkpoint."""
    process = keeping(contender, data, out, 8)
    process.kill()
    process.communicate()
    return contender.latest(out)


def going_on(contender: Contender, data: Path, out: Path) -> str:
    """What comes of going on."""
    code, last = ended(contender.start(data, out, 8, resume=True))
    return "goes on as if nothing were wrong, exit 0" if code == 0 else f"exit {code}: {last}"


def rate(contender: Contender, folder: Path) -> str:
    code, last = ended(contender.start(write(folder / "data"), folder / "out", 3, 1e30))
    found = contender.weights(contender.latest(folder / "out"))
    kept = "nothing kept" if found is None else f"the largest kept weight is {found[0]:.0e}"
    return f"exit {code}, {kept}" + (f": {last}" if code else "")


def label(contender: Contender, folder: Path) -> str:
    code, last = ended(contender.start(write(folder / "data", label=255), folder / "out", 1))
    return f"exit {code}: {last}"


def terminated(contender: Contender, folder: Path) -> str:
    out = folder / "out"
    process, before = keeping(contender, write(folder / "data", 4992), out), time.time()
    process.send_signal(signal.SIGTERM)
    code, _ = ended(process)
    saved = contender.latest(out).stat().st_mtime >= before
    return f"exit {code}, {'what was reached is saved' if saved else 'what came after the last epoch is lost'}"


def killed(contender: Contender, folder: Path) -> str:
    data, lost, struck = write(folder / "data"), 0, 0
    for number in range(KILLS):
        out = folder / f"out-{number}"
        process = keeping(contender, data, out)
        latest = contender.latest(out)
        struck += _stopped_within(process, latest.parent, latest.stat().st_size)
        process.kill()
        process.communicate()
        lost += contender.weights(contender.latest(out)) is None
    return f"{KILLS} kills, {struck} of them within a write: the latest checkpoint cannot be read in {lost}"


def _stopped_within(process: subprocess.Popen[str], place: Path, whole: int) -> bool:
    """Stop a process where a file of weights is not all there; False if that was not seen in a while."""
    end = time.monotonic() + PATIENCE / 4
    while time.monotonic() < end:
        if _short(place, whole):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            if _short(place, whole):
                return True
            process.send_signal(signal.SIGCONT)
    return False


def _short(place: Path, whole: int) -> bool:
    """Whether a file of weights is not all there yet; those of one network differ by a few bytes in their names."""
    with contextlib.suppress(FileNotFoundError):
        kinds = (".pth", ".ckpt", ".safetensors", ".tmp", ".part")
        return any(one.name.endswith(kinds) and one.stat().st_size < 0.9 * whole for one in os.scandir(place))
    return False


def flipped(contender: Contender, folder: Path) -> str:
    data, out = write(folder / "data"), folder / "out"
    path = killed_run(contender, data, out)
    values = bytearray(path.read_bytes())
    values[len(values) // 2] ^= 1
    path.write_bytes(values)
    return going_on(contender, data, out)


def code(contender: Contender, folder: Path) -> str:
    data, out, canary = write(folder / "data"), folder / "out", folder / "canary"
    killed_run(contender, data, out).write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    said = going_on(contender, data, out)
    return f"{'the command RAN' if canary.exists() else 'the command did not run'}; {said}"


def full(contender: Contender, folder: Path) -> str:
    data = write(folder / "data")
    size = killed_run(contender, data, folder / "out").stat().st_size
    with _disk(folder / "disk", size * 3 // 2 + 16384) as disk:
        return _after(contender, disk, contender.start(data, disk, 6))


def filled(contender: Contender, folder: Path) -> str:
    data = write(folder / "data", 4992)
    with _disk(folder / "disk", 1 << 25) as disk:
        process = keeping(contender, data, disk, 6)
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        return _after(contender, disk, process)


@contextlib.contextmanager
def _disk(place: Path, size: int) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _after(contender: Contender, disk: Path, process: subprocess.Popen[str]) -> str:
    code, last = ended(process)
    path = contender.latest(disk)
    whole = path.exists() and contender.weights(path) is not None
    kept = "a whole checkpoint is there" if whole else "the latest CANNOT be read" if path.exists() else "none is there"
    return f"exit {code}, {kept}" + (f": {last}" if code else "")


def same(contender: Contender, folder: Path) -> str:
    data, alone, stopped = write(folder / "data"), folder / "alone", folder / "stopped"
    assert ended(contender.start(data, alone, 8))[0] == 0
    killed_run(contender, data, stopped)
    code, last = ended(contender.start(data, stopped, 8, resume=True))
    if code:
        return f"does not go on, exit {code}: {last}"
    one, other = (contender.weights(contender.latest(out)) for out in (alone, stopped))
    return "the same bits" if one == other and one is not None else "other weights"


FAULTS: dict[str, tuple[str, Callable[[Contender, Path], str]]] = {
    "4": ("a learning rate of 1e30", rate),
    "19": ("a label of 255 among ten classes", label),
    "78": ("SIGTERM in the midst of an epoch", terminated),
    "79": ("SIGKILL while a checkpoint is written", killed),
    "66": ("one flipped bit in the latest checkpoint, gone on with", flipped),
    "67": ("a pickle that runs a command as the latest checkpoint", code),
    "69": ("a disk that holds one and a half checkpoints", full),
    "69, later": ("a disk that something else fills after the first checkpoint", filled),
    "77": ("killed once and gone on with, beside a run that was left alone", same),
}
"""By the fault's number."""
