"""Formats of recordings by name: AEDAT 2.0 and 4, N-MNIST's records, NumPy's archives; and the sets in them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bntt.data.events.binning import Binning, Events
from bntt.data.samples import DATASETS, Dataset
from bntt.io.errors import DataError, refusing
from bntt.io.files import read_file

LARGEST_FILE = 1 << 30
"""Largest size of one recording in bytes, more than 100 million events."""
VERSION = b"#!AER-DAT2.0"
HEADER_ENDS = b"#End Of ASCII Header"
LONGEST_HEADER = 1 << 20
"""Longest header in bytes; the preferences that jAER writes into headers have some ten thousand."""
WORDS = 8
NOT_TEXT = bytes(set(range(32)) - {9}) + b"\x7f"
SIMULATED = "# This recording is simulated: no camera made it."
LATEST = 1 << 32
ORIENTATIONS = ("common", "raw")


def check_version(path: Path, content: bytes, version: bytes) -> None:
    """Refuse a file that does not begin with this version of AEDAT."""
    if not content.startswith(version):
        begins = content[:16].split(b"\n")[0].rstrip().decode("ascii", "backslashreplace")
        expected = version.decode().strip()
        raise DataError(f"{path} begins with {begins!r}, an AEDAT {expected[9:]} file with {expected!r}")


@dataclass(frozen=True)
class AddressLayout:
    """Meaning of the bits of an address; bit 0 is the lowest."""

    name: str
    height: int
    width: int
    x: tuple[int, int]
    """First bit, and number of bits."""
    y: tuple[int, int]
    p: int
    """Bit of the polarity."""
    other: int
    """Bits of addresses that are not pixel events."""
    never: int
    """Bits that are never set."""
    turned: bool
    """True if common readers turn the picture: x = width - 1 - Y, y = height - 1 - X, p = 1 - P."""


DVS128 = AddressLayout("DVS128", 128, 128, x=(1, 7), y=(8, 7), p=0, other=1 << 15, never=0xFFFF0000, turned=True)
"""Bit 0 P, 1-7 X, 8-14 Y; bit 15 is set for an edge at the camera's input."""
DAVIS346 = AddressLayout("DAVIS", 260, 346, x=(12, 10), y=(22, 9), p=11, other=1 << 31 | 1 << 10, never=0, turned=False)
"""Bit 31 is set for image samples, 22-30 Y, 12-21 X, 11 P; bit 10 is set for other words that are not pixel events."""
DAVIS240 = replace(DAVIS346, height=180, width=240)


def read_aedat2(path: Path, layout: AddressLayout = DVS128, *, orientation: str = "common") -> Events:
    r"""Return the events of an AEDAT 2.0 file.

    A header line is "#", text without control characters and a line feed; the line "#End Of ASCII Header" ends the
    header. Without it, the header ends before the first line that is none. Times have 32 bits and wrap around
    after 71 minutes. Words that are not pixel events are skipped and counted in ``left_out``.

    Args:
        path: the file.
        layout: the meaning of the bits of an address: ``DVS128``, or a DAVIS's.
        orientation: "common": for the DVS128, what common readers of CIFAR10-DVS return, ``x = 127 - Y``,
            ``y = 127 - X`` and ``p = 1 - P``; for a DAVIS, the address unchanged. "raw": always the address unchanged.
            Not verified on a recording: which of the two is upright, and whether P = 1 means brighter.

    Raises:
        DataError: naming the file (and event), if it is missing or not AEDAT 2.0, its header does not end, it ends
            within an event, holds no event, an address does not fit the layout or the sensor, or times decrease.
        ValueError: on an unknown orientation.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.aedat"
    >>> _ = path.write_bytes(b"#!AER-DAT2.0\r\n" + bytes.fromhex("00000503 0000000a"))
    >>> events = read_aedat2(path, orientation="raw")
    >>> events.t, events.x, events.y, events.p
    (array([10]), array([1], dtype=uint16), array([5], dtype=uint16), array([1], dtype=uint8))
    """
    if orientation not in ORIENTATIONS:
        raise ValueError(f"orientation: choose out of {', '.join(ORIENTATIONS)}, got {orientation!r}")
    content = read_file(path, LARGEST_FILE)
    start = header_length(path, content)
    if rest := (len(content) - start) % WORDS:
        place = f"{rest} of {WORDS} bytes follow byte {len(content) - rest} (its header has {start})"
        raise DataError(f"{path} ends within an event: {place}; the file is not whole")
    pairs = np.frombuffer(content, ">u4", offset=start).reshape(-1, 2)
    address, clock = pairs[:, 0].astype(np.uint32), pairs[:, 1].astype(np.uint32)
    bits = int(np.bitwise_or.reduce(address)) if len(address) else 0
    if bits & layout.never:
        event = int(((address & layout.never) != 0).argmax())
        never = f"which never has bits of {layout.never:08x}: the file has another layout, or is damaged"
        raise DataError(f"{path}: address {address[event]:08x} is not an address of a {layout.name}, {never}")
    words = len(address)
    if bits & layout.other:
        pixels = (address & layout.other) == 0
        address, clock = address[pixels], clock[pixels]
    t = unwrapped(clock)
    x, y = (
        ((address >> np.uint32(first)) & np.uint32((1 << count) - 1)).astype(np.uint16)
        for first, count in (layout.x, layout.y)
    )
    p = ((address >> np.uint32(layout.p)) & np.uint32(1)).astype(np.uint8)
    if layout.turned and orientation == "common":
        x, y, p = np.uint16(layout.width - 1) - y, np.uint16(layout.height - 1) - x, np.uint8(1) - p
    with refusing(path, ValueError):
        return Events(t, x, y, p, layout.height, layout.width, words - len(t))


def unwrapped(clock: np.ndarray) -> np.ndarray:
    """Unwrap a 32-bit clock to int64 times: every difference is taken from -2³¹ to 2³¹ - 1."""
    t = clock.astype(np.int64)
    steps = (clock[1:] - clock[:-1]).view(np.int32)
    if len(t) and t[0] + steps.sum(dtype=np.int64) == t[-1] and (not len(steps) or steps.min() >= 0):
        return t  # nothing wraps
    np.cumsum(steps, dtype=np.int64, out=t[1:])
    t[1:] += t[:1]
    return t


def header_length(path: Path, content: bytes) -> int:
    """Count the bytes of an AEDAT 2.0 file before its first event, as :func:`read_aedat2` defines."""
    check_version(path, content, VERSION)
    place = 0
    while content[place : place + 1] == b"#":
        end = content.find(b"\n", place)
        line = content[place : end if end >= 0 else len(content)].rstrip(b"\r")
        if len(line.translate(None, NOT_TEXT)) < len(line) or content[place + 1 : place + 2] == b"\n":
            break  # events, whose first byte is that of "#"
        if end < 0 or end > LONGEST_HEADER:
            raise DataError(f"{path}: its header has a line that does not end, or more than {LONGEST_HEADER} bytes")
        place = end + 1
        if line.startswith(HEADER_ENDS):
            break
    return place


def aedat2_bytes(events: Events, notes: Sequence[str] = ()) -> bytes:
    """Make the bytes of a file from which :func:`~bntt.data.read_aedat2` reads these events ("common" orientation)."""
    if (events.height, events.width) != (DVS128.height, DVS128.width) or not 0 <= events.t[0] <= events.t[-1] < LATEST:
        raise ValueError("expected events of a DVS128, with 128 rows and columns, at times of 0 to 2**32 - 1")
    lines = [VERSION.decode(), *notes, HEADER_ENDS.decode(), ""]
    pairs = np.empty((len(events), 2), ">u4")
    x, y, p = (values.astype(np.uint32) for values in (events.x, events.y, events.p))
    pairs[:, 0] = (127 - x) << DVS128.y[0] | (127 - y) << DVS128.x[0] | (1 - p) << DVS128.p
    pairs[:, 1] = events.t
    return "\r\n".join(lines).encode("ascii") + pairs.tobytes()


def is_simulated(path: Path, notes: Sequence[str] = (SIMULATED,)) -> bool:
    """Return True if a recording's header declares it simulated, or begins with all of these notes."""
    start = "\r\n".join([VERSION.decode(), *notes, ""]).encode("ascii")
    with path.open("rb") as file:
        return file.read(len(start)) == start


VERSION_4 = b"#!AER-DAT4.0\r\n"
LARGEST_PACKETS = 1 << 30
EVENT_BYTES = 16


def read_aedat4(path: Path) -> Events:
    """Return the events of an AEDAT 4 file with one stream of events; the file names the sensor's size.

    Args:
        path: of the file.

    Raises:
        DataError: naming the file (and event), if the file is missing, not AEDAT 4 or damaged, has no or several event
            streams, holds no event, an event lies outside the sensor, or times decrease; or if ``aedat`` is missing.

    >>> read_aedat4(Path("none.aedat4"))
    Traceback (most recent call last):
    bntt.io.errors.DataError: none.aedat4 does not exist
    """
    try:
        import aedat
    except ImportError:
        raise DataError(f'{path}: AEDAT 4 is read with the package aedat: pip install "bntt[events]"') from None
    content = read_file(path, LARGEST_FILE)
    check_version(path, content, VERSION_4)
    with refusing(f"{path} is damaged"):
        _check_container(memoryview(content))
    packets, size = [np.empty(0, [("t", "u8"), ("x", "u2"), ("y", "u2"), ("on", "?")])], 0
    with refusing(f"{path} is damaged, aedat says"):
        try:
            decoder = aedat.Decoder(str(path))
            streams = [facts for facts in decoder.id_to_stream().values() if facts["type"] == "events"]
            if len(streams) != 1:
                raise DataError(f"{path} has {len(streams)} streams of events, expected one")
            for packet in decoder:
                packets += [packet["events"]] if "events" in packet else []
                size += EVENT_BYTES * len(packet.get("events", ()))
                if size > LARGEST_PACKETS:
                    raise DataError(f"{path} has more than {LARGEST_PACKETS} bytes of events: cut it into parts")
        except BaseException as error:  # a panic in its Rust code is not an Exception
            if type(error).__name__ != "PanicException":
                raise
            raise DataError(f"{path} is damaged, aedat says: {error}") from None
    rows = np.concatenate(packets[1:] or packets)
    t, x, y = rows["t"].astype(np.int64), rows["x"].copy(), rows["y"].copy()
    with refusing(path, ValueError):
        return Events(t, x, y, rows["on"].astype(np.uint8), streams[0]["height"], streams[0]["width"])


def _check_container(content: memoryview) -> None:
    """Check header and all packets' sizes: ``<stream> <size> <bytes>``, to the table of packets or the end."""
    place = len(VERSION_4) + 4
    (size,) = struct.unpack_from("<I", content, len(VERSION_4))
    text, table = _header(_part(content, place, size))
    if "\0" in text.decode("utf-8"):
        raise ValueError("a NUL in its text")
    place, end = place + size, len(content) if table < 0 else table
    _part(content, place, end - place)
    while place < end:
        (size,) = struct.unpack("<4xi", _part(content[:end], place, 8))
        place += 8 + len(_part(content[:end], place + 8, size))


def _part(content: memoryview, place: int, size: int) -> memoryview:
    """Return the ``size`` bytes at ``place``."""
    if not 0 <= place <= place + size <= len(content):
        raise ValueError(f"{size} bytes are announced at byte {place} of {len(content)}: the file is not whole")
    return content[place : place + size]


def _header(header: memoryview) -> tuple[bytes, int]:
    """Read the description (XML) and the table's place from the header's flatbuffer; -1 if it names none."""
    (root,) = struct.unpack_from("<I", header)
    fields = root - struct.unpack_from("<i", header, root)[0]
    (length,) = struct.unpack("<H", _part(header, fields, 2))
    offsets = struct.unpack_from(f"<{max(0, length - 4) // 2}H", header, fields + 4)
    _, table, text = (*offsets[:3], 0, 0, 0)[:3]
    (position,) = struct.unpack_from("<q", header, root + table) if table else (-1,)
    if not text:
        raise ValueError("no description")
    start = root + text + struct.unpack_from("<I", header, root + text)[0]
    (size,) = struct.unpack_from("<I", header, start)
    return bytes(_part(header, start + 4, size)), position


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
        DataError: naming the file (and event), if it is missing or not a whole number of records, holds no event, an
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
    if marks.any():
        t += np.cumsum(marks) * OVERFLOW_STEP
        t, x, y, p = t[~marks], x[~marks], y[~marks], p[~marks]
    with refusing(path, ValueError):
        return Events(t, x, y, p, height, width, int(marks.sum()))


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
    with refusing(path, ValueError):
        return Events(t, x, y, p, height, width)


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
