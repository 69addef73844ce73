"""The faults: each is done to a contender in a folder, and says in a few words what came of it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.side_by_side.contenders import Contender
from tests.side_by_side.probing import weights
from tests.side_by_side.small_data import spoil_label, write

PATIENCE = 240.0
"""Seconds for anything."""
KILLS = 10
LONG = 10_000
"""Epochs that nobody waits for."""


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and the last line that says something."""
    output, _ = process.communicate(timeout=PATIENCE)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return process.returncode, (lines[-1] if lines else "")[:160]


def wait_for(contender: Contender, out: Path, process: subprocess.Popen[str]) -> None:
    """Until it kept something."""
    end = time.monotonic() + PATIENCE
    while not contender.latest(out).exists():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{contender.name} kept nothing: {ended(process)}")
        time.sleep(0.02)


def kept_one(contender: Contender, data: Path, out: Path, epochs: int = 8) -> None:
    """A run that was killed after it had kept something."""
    process = contender.start(data, out, epochs)
    wait_for(contender, out, process)
    time.sleep(0.3)
    process.kill()
    process.communicate()


def going_on(contender: Contender, data: Path, out: Path, epochs: int = 8) -> str:
    """What comes of going on."""
    code, last = ended(contender.start(data, out, epochs, resume=True))
    return "goes on as if nothing were wrong, exit 0" if code == 0 else f"exit {code}: {last}"


def rate(contender: Contender, folder: Path) -> str:
    """A learning rate of 1e30."""
    code, last = ended(contender.start(write(folder / "data"), folder / "out", 3, 1e30))
    found = weights(contender, path) if (path := contender.latest(folder / "out")).exists() else None
    kept = "nothing kept" if found is None else f"the largest kept weight is {found.largest:.0e}"
    return f"exit {code}, {kept}" + (f": {last}" if code else "")


def label(contender: Contender, folder: Path) -> str:
    """A label of 255 among ten classes."""
    data = write(folder / "data")
    spoil_label(data, 255)
    code, last = ended(contender.start(data, folder / "out", 1))
    return f"exit {code}: {last}"


def terminated(contender: Contender, folder: Path) -> str:
    """SIGTERM in the midst of an epoch: what is kept of it."""
    out = folder / "out"
    process = contender.start(write(folder / "data", 4992), out, LONG)
    wait_for(contender, out, process)
    time.sleep(0.3)
    before = time.time()
    process.send_signal(signal.SIGTERM)
    code, _ = ended(process)
    saved = contender.latest(out).stat().st_mtime >= before
    return f"exit {code}, {'what was reached is saved' if saved else 'what came after the last epoch is lost'}"


def killed(contender: Contender, folder: Path) -> str:
    """SIGKILL while it writes a checkpoint."""
    data, lost, struck = write(folder / "data"), 0, 0
    for number in range(KILLS):
        out = folder / f"out-{number}"
        process = contender.start(data, out, LONG)
        wait_for(contender, out, process)
        time.sleep(0.2)
        place, whole = contender.latest(out).parent, contender.latest(out).stat().st_size
        struck += _stopped_within(process, place, whole)
        process.kill()
        process.communicate()
        lost += weights(contender, contender.latest(out)) is None
    return f"{KILLS} kills, {struck} of them within a write: the latest checkpoint cannot be read in {lost}"


def _stopped_within(process: subprocess.Popen[str], place: Path, whole: int) -> bool:
    """Stop a process where a file of weights is not all there; False if that was not seen in a while."""
    end = time.monotonic() + PATIENCE / 4
    while time.monotonic() < end:
        if any(_short(entry, whole) for entry in os.scandir(place)):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            if any(_short(entry, whole) for entry in os.scandir(place)):
                return True
            process.send_signal(signal.SIGCONT)
    return False


def _short(entry: os.DirEntry[str], whole: int) -> bool:
    """Whether a file of weights is not all there yet; those of one network differ by a few bytes in their names."""
    try:
        size = entry.stat().st_size
    except FileNotFoundError:
        return False
    return entry.name.endswith((".pth", ".ckpt", ".safetensors", ".tmp", ".part")) and size < 0.9 * whole


def flipped(contender: Contender, folder: Path) -> str:
    """One bit of the latest checkpoint is another."""
    data, out = write(folder / "data"), folder / "out"
    kept_one(contender, data, out)
    path = contender.latest(out)
    values = bytearray(path.read_bytes())
    values[len(values) // 2] ^= 1
    path.write_bytes(values)
    return going_on(contender, data, out)


class Malware:
    """What a pickle may do."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def code(contender: Contender, folder: Path) -> str:
    """The latest checkpoint is a pickle that runs a command."""
    data, out, canary = write(folder / "data"), folder / "out", folder / "canary"
    kept_one(contender, data, out)
    contender.latest(out).write_bytes(pickle.dumps(Malware(canary)))
    said = going_on(contender, data, out)
    return f"{'the command RAN' if canary.exists() else 'the command did not run'}; {said}"


def full(contender: Contender, folder: Path) -> str:
    """A disk that holds one and a half of its checkpoints."""
    data, out = write(folder / "data"), folder / "out"
    kept_one(contender, data, out)
    with _disk(folder / "disk", contender.latest(out).stat().st_size * 3 // 2 + 16384) as disk:
        return _after(contender, disk, contender.start(data, disk, 6))


def filled(contender: Contender, folder: Path) -> str:
    """A disk that something else fills after the first checkpoint."""
    data = write(folder / "data", 4992)
    with _disk(folder / "disk", 1 << 25) as disk:
        process = contender.start(data, disk, 6)
        wait_for(contender, disk, process)
        time.sleep(0.1)
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
    whole = path.exists() and weights(contender, path) is not None
    kept = "a whole checkpoint is there" if whole else "the latest CANNOT be read" if path.exists() else "none is there"
    return f"exit {code}, {kept}" + (f": {last}" if code else "")


def same(contender: Contender, folder: Path) -> str:
    """Killed once and gone on with, beside a run that was left alone: are the last weights the same?"""
    data, found = write(folder / "data"), []
    for name in ("alone", "stopped"):
        out = folder / name
        if name == "alone":
            assert ended(contender.start(data, out, 8))[0] == 0
        else:
            kept_one(contender, data, out)
            code, last = ended(contender.start(data, out, 8, resume=True))
            if code:
                return f"does not go on, exit {code}: {last}"
        found.append(weights(contender, contender.latest(out)))
    return "the same bits" if found[0] == found[1] and found[0] is not None else "other weights"


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
