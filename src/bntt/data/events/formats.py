"""Formats of recordings by name; the two small ones are read here: N-MNIST's records and NumPy's archives."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bntt.data.events.aedat2 import DAVIS240, DAVIS346, read_aedat2
from bntt.data.events.aedat4 import read_aedat4
from bntt.data.events.binning import LARGEST_FILE, Binning, Events, recorded
from bntt.data.samples import DATASETS, Dataset
from bntt.io.errors import DataError, refusing
from bntt.io.files import read_file

RECORD = 5
OVERFLOW = 240
"""Row of a record that is not an event, and marks an overflow of the clock."""
OVERFLOW_STEP = 1 << 13
"""Microseconds that each such record adds to all times after it."""
ZIP = (b"PK\3\4", b"PK\5\6")
NAMES = ("t", "x", "y", "p")
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
LARGEST_TIME = 1 << 62


def read_nmnist(path: Path, *, height: int = 34, width: int = 34) -> Events:
    """Return the events of a ``.bin`` file of N-MNIST or N-Caltech101 (Orchard et al. 2015).

    The file consists of records of five bytes: x, y, then three bytes, big-endian: bit 23 is the polarity, bits 0-22
    are microseconds. A record with y = 240 is not an event: it adds 2¹³ microseconds to all later times, and is counted
    in ``left_out``.

    Args:
        path: the file.
        height: rows of the sensor; N-Caltech101 has 180.
        width: columns of the sensor; N-Caltech101 has 240.

    Raises:
        DataError: naming file and byte, if the file is missing or not a whole number of records, holds no event, an
            event lies outside the sensor, or times decrease.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.bin"
    >>> _ = path.write_bytes(bytes([3, 5, 0x80, 1, 0]))
    >>> events = read_nmnist(path)
    >>> events.t, events.x, events.y, events.p
    (array([256]), array([3], dtype=uint8), array([5], dtype=uint8), array([1], dtype=uint8))
    """
    content = read_file(path, LARGEST_FILE)
    if len(content) % RECORD:
        raise DataError(f"{path} ends within an event: {len(content)} bytes are no multiple of {RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    x, y, p = records[:, 0].copy(), records[:, 1].copy(), records[:, 2] >> 7
    t = (records[:, 2] & 127).astype(np.int64) << 16
    t |= records[:, 3].astype(np.int64) << 8
    t |= records[:, 4]
    marks = y == OVERFLOW
    places = (~marks).nonzero()[0]
    if len(places) < len(t):
        t += np.cumsum(marks) * OVERFLOW_STEP
        t, x, y, p = t[places], x[places], y[places], p[places]

    def where(event: int) -> str:
        return f"byte {RECORD * int(places[event])}, event {event}"

    return recorded(path, where, lambda: Events(t, x, y, p, height, width, int(marks.sum())))


def read_event_archive(path: Path, *, height: int, width: int) -> Events:
    """Return the events of an ``.npz`` with one-dimensional arrays of equal length. Nothing is unpickled.

    ``t`` in whole microseconds, ``x`` and ``y`` of any integer type, ``p`` of an integer type or bool; other arrays are
    not read. The sizes stated in headers are checked against the file before anything is allocated.

    Args:
        path: the archive.
        height: rows of the sensor, which the archive does not store.
        width: columns of the sensor.

    Raises:
        DataError: naming the file, and the array or event, if the file is missing, damaged or not an archive, an array
            is missing or of another type or shape, or the events are invalid (see :class:`bntt.data.Events`).

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mine.npz"
    >>> np.savez(path, t=[10, 20], x=[0, 3], y=[1, 1], p=[True, False])
    >>> read_event_archive(path, height=2, width=4).p
    array([1, 0], dtype=uint8)
    """
    content = read_file(path, LARGEST_FILE)
    if not content.startswith(ZIP):
        raise DataError(f"{path} is no .npz archive: expected one with t, x, y and p, as numpy.savez writes it")
    with (
        refusing(f"{path} is no whole .npz archive of t, x, y and p"),
        np.load(io.BytesIO(content), allow_pickle=False) as archive,
    ):
        if (size := sum(archive.zip.getinfo(f"{name}.npy").file_size for name in NAMES)) > LARGEST_FILE:
            raise DataError(f"{path}: {size} bytes unpacked, more than {LARGEST_FILE}: cut the recording into parts")
        contents = [archive.zip.read(f"{name}.npy") for name in NAMES]
        if (found := sum(map(len, contents))) != size:
            raise DataError(f"{path} is damaged: {size} bytes are announced, and {found} are there")
        t, x, y, p = map(_values, NAMES, contents)
    if len(t) and not -LARGEST_TIME <= int(t.min()) <= int(t.max()) <= LARGEST_TIME:
        raise DataError(f"{path}: t must lie within 2**62 microseconds of 0, got {t.min()} to {t.max()}")
    t, p = t.astype(np.int64), p.astype(np.uint8) if p.dtype.kind == "b" else p
    return recorded(path, lambda event: f"event {event}", lambda: Events(t, x, y, p, height, width))


def _values(name: str, content: bytes) -> np.ndarray:
    """Return the array in the bytes of a .npy file."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"its array {name!r} has format {version}, expected 1.0 or 2.0")
    shape, _, kind = HEADERS[version](file)
    if kind.kind not in ("biu" if name == "p" else "iu"):
        raise ValueError(f"its array {name!r} is {kind}: expected integers")
    values = np.frombuffer(content, kind, offset=file.tell())
    if values.shape != shape:
        raise ValueError(f"its array {name!r} announces {shape}, and has {values.shape}: expected one dimension")
    return values.astype(kind.newbyteorder("="), copy=False)


@dataclass(frozen=True)
class EventFormat:
    """Format of recordings."""

    ending: str
    """Ending of its files' names, in lower case."""
    read: Callable[[Path], Events]


EVENT_FORMATS = {
    "aedat2": EventFormat(".aedat", read_aedat2),
    "aedat2-raw": EventFormat(".aedat", partial(read_aedat2, orientation="raw")),
    "aedat2-davis240": EventFormat(".aedat", partial(read_aedat2, layout=DAVIS240)),
    "aedat2-davis346": EventFormat(".aedat", partial(read_aedat2, layout=DAVIS346)),
    "aedat4": EventFormat(".aedat4", read_aedat4),
    "nmnist": EventFormat(".bin", read_nmnist),
    "npz": EventFormat(".npz", partial(read_event_archive, height=128, width=128)),
}
"""Formats by name; "npz" assumes the sensor of a DVS128, for another: ``EventFormat(".npz", ...)``."""


DVS_CIFAR10 = Dataset(
    "recordings",
    "not known to us: see figshare.com, article 4724671",
    classes=10,
    shape=(128, 128),
    samples=(9000, 1000),
    augment=("flip", "shift"),
    expects="the unpacked CIFAR10-DVS, one folder of recordings per class",
    formats=("aedat2", "aedat2-raw", "aedat4"),
)
DATASETS.add("dvs-cifar10", DVS_CIFAR10)
DATASETS.add(
    "n-mnist",
    Dataset(
        "recordings",
        "CC BY-SA 4.0",
        classes=10,
        shape=(34, 34),
        samples=(60_000, 10_000),
        expects="the unpacked N-MNIST, Train and Test with one folder per class",
        formats=("nmnist",),
    ),
)
for _images, _augment in (("cifar10", ("flip", "shift")), ("fashion-mnist", ("flip",))):
    DATASETS.add(
        f"{_images}-simulated",
        replace(
            DVS_CIFAR10,
            licence="that of the images",
            augment=_augment,
            expects=f"the folder that bntt data simulate {_images} wrote",
            formats=("aedat2",),
            simulated=_images,
        ),
    )
DATASETS.add(
    "events",
    Dataset(
        "recordings",
        "yours",
        needs=("root", "frames.format"),
        expects="a folder with one folder of recordings per class, or with train and test that have those",
        formats=tuple(EVENT_FORMATS),
    ),
)


@dataclass(frozen=True)
class Framing:
    """How a set's recordings are read and converted to frames."""

    binning: Binning
    format: str = ""
    """Format out of ``EVENT_FORMATS``; "": the set's first."""
    sensor: tuple[int, int] | None = None
    """Rows and columns of the sensor, for "npz", which does not store them."""

    def of(self, name: str) -> tuple[str, EventFormat]:
        """Return the name and the description of a set's format."""
        known = DATASETS[name].formats
        chosen = self.format or known[0]
        if ("frames.format" in DATASETS[name].needs and not self.format) or chosen not in known:
            said = "it must be named" if not self.format else f"got {self.format!r}"
            raise DataError(f"the format of {name} is one of {', '.join(known)}: {said} (--format, data.frames.format)")
        if (chosen == "npz") != (self.sensor is not None):
            need = "needs" if chosen == "npz" else "already gives, itself or by its name,"
            raise DataError(f"{chosen} {need} the rows and columns of its sensor (--sensor, data.frames.sensor)")
        kind = EVENT_FORMATS[chosen]
        if self.sensor is not None:
            height, width = self.sensor
            kind = EventFormat(kind.ending, partial(read_event_archive, height=height, width=width))
        return chosen, kind

    def tag(self, name: str) -> str:
        """Return the tag that distinguishes the folder of these frames from others of the same dataset."""
        size = "x".join(map(str, (self.binning.num_steps, self.binning.height, self.binning.width)))
        sensor = [] if self.sensor is None else ["x".join(map(str, self.sensor))]
        chosen, _ = self.of(name)
        return "-".join([size, self.binning.by, self.binning.cells, self.binning.beyond, chosen, *sensor])

    def flags(self) -> str:
        """Return the framing as flags of ``bntt data prepare``."""
        binning = self.binning
        said = [f"--steps {binning.num_steps}", f"--size {binning.height}"]
        said += [f"--by {binning.by}"] if binning.by != "time" else []
        said += [f"--cells {binning.cells}"] if binning.cells != "counts" else []
        said += [f"--beyond {binning.beyond}"] if binning.beyond != "widen" else []
        said += [f"--format {self.format}"] if self.format else []
        said += ["--sensor {} {}".format(*self.sensor)] if self.sensor else []
        return " ".join(said)
