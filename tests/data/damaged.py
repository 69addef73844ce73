"""Recordings that are damaged, each in one way, and what is said of them: bytes written out by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bntt.data.events.binning import Events
from bntt.data.events.formats import DAVIS240, DAVIS346, read_aedat2, read_event_archive, read_nmnist

VERSION = b"#!AER-DAT2.0\r\n"
START = len(VERSION)
GOOD = bytes.fromhex("00000102 00000005")


def davis(path: Path) -> Events:
    return read_aedat2(path, DAVIS346)


def small_davis(path: Path) -> Events:
    return read_aedat2(path, DAVIS240)


def archive(path: Path) -> Events:
    return read_event_archive(path, height=3, width=4)


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


AEDAT2: list[tuple[str, Callable[[Path], Events], bytes, str]] = [
    ("empty", read_aedat2, b"", "begins with '', an AEDAT 2.0 file with '#!AER-DAT2.0'"),
    ("no header", read_aedat2, GOOD * 9, r"begins with '\\x00\\x00\\x01\\x02"),
    ("only a comment", read_aedat2, b"# DVS128\r\n" + GOOD, "begins with '# DVS128', an AEDAT 2.0 file"),
    ("version 1", read_aedat2, b"#!AER-DAT1.0\r\n" + GOOD, "begins with '#!AER-DAT1.0'"),
    ("version 3", read_aedat2, b"#!AER-DAT3.1\r\n" + GOOD, "begins with '#!AER-DAT3.1'"),
    ("version 4", read_aedat2, b"#!AER-DAT4.0\r\n", "begins with '#!AER-DAT4.0', an AEDAT 2.0 file"),
    ("half a version", read_aedat2, VERSION[:7], "begins with '#!AER-D'"),
    ("version without end", read_aedat2, VERSION.strip(), "byte 0: its header has a line that does not end"),
    ("line without end", read_aedat2, VERSION + b"# abc", f"byte {START}: its header has a line that does not end"),
    ("endless line", read_aedat2, VERSION + b"#" * (1 << 21), f"byte {START}: its header has a line that does not end"),
    (
        "endless header",
        read_aedat2,
        VERSION + b"# a line\n" * (1 << 18),
        "its header has more than 1048576 bytes and does",
    ),
    ("only a header", read_aedat2, VERSION, "one: there is no event"),
    ("a header and its end", read_aedat2, VERSION + b"#End Of ASCII Header\r\n", "one: there is no event"),
    ("one byte", read_aedat2, VERSION + b"\0", rf"1 of 8 bytes follow byte {START} \(its header has {START}\)"),
    ("half an event", read_aedat2, VERSION + GOOD + GOOD[:4], f"within an event: 4 of 8 bytes follow byte {START + 8}"),
    ("cut in a word", read_aedat2, VERSION + GOOD + GOOD[:7], f"7 of 8 bytes follow byte {START + 8}"),
    ("odd words", read_aedat2, VERSION + GOOD[:4] * 3, f"4 of 8 bytes follow byte {START + 8}"),
    ("time falls", read_aedat2, VERSION + GOOD + hexed("00000102 00000004"), f"byte {START + 8}, event 1: time falls"),
    (
        "half a turn",
        read_aedat2,
        VERSION + GOOD + hexed("00000102 80000005"),
        f"byte {START + 8}, event 1: time falls from 5 to -2147483643",
    ),
    (
        "fall across a wrap",
        read_aedat2,
        VERSION + hexed("00000000 ffffffff 00000000 00000000 00000000 fffffff0"),
        f"byte {START + 16}, event 2: time falls from 4294967296 to 4294967280",
    ),
    (
        "bit 16 of a DVS128",
        read_aedat2,
        VERSION + GOOD + hexed("00010000 00000006"),
        f"byte {START + 8}: address 00010000 is not an address of a DVS128, which never has bits of ffff0000",
    ),
    (
        "little-endian",
        read_aedat2,
        VERSION + hexed("02010000 05000000"),
        f"byte {START}: address 02010000 is not an address",
    ),
    (
        "a DAVIS as a DVS128",
        read_aedat2,
        VERSION + hexed("00159000 00000006"),
        "address 00159000 is not an address of a DVS128",
    ),
    ("only triggers", read_aedat2, VERSION + hexed("00008000 00000006"), "one: there is no event"),
    ("only images", davis, VERSION + hexed("80159000 00000006") * 4, "one: there is no event"),
    (
        "x = 346",
        davis,
        VERSION + hexed("0015a000 00000006"),
        f"byte {START}, event 0: expected x from 0 to 345, got 346",
    ),
    ("x = 1023", davis, VERSION + hexed("003ff000 00000006"), "expected x from 0 to 345, got 1023"),
    ("y = 260", davis, VERSION + hexed("41000000 00000006"), "event 0: expected y from 0 to 259, got 260"),
    ("y = 511", davis, VERSION + hexed("7fc00000 00000006"), "expected y from 0 to 259, got 511"),
    ("x = 345 of 240", small_davis, VERSION + hexed("00159000 00000006"), "expected x from 0 to 239, got 345"),
    ("a header line of a DAVIS", davis, VERSION + b"# ab" + GOOD, f"byte {START}, event 0: expected x|within an event"),
]

NMNIST: list[tuple[str, Callable[[Path], Events], bytes, str]] = [
    ("empty", read_nmnist, b"", "one: there is no event"),
    ("one byte", read_nmnist, b"\0", "1 bytes are no multiple of 5"),
    ("cut", read_nmnist, hexed("0102800005 0304"), "7 bytes are no multiple of 5"),
    ("x = 34", read_nmnist, hexed("2202800005"), "byte 0, event 0: expected x from 0 to 33, got 34"),
    ("y = 34", read_nmnist, hexed("0102800005 0122800005"), "byte 5, event 1: expected y from 0 to 33, got 34"),
    ("y = 241", read_nmnist, hexed("01f1800005"), "expected y from 0 to 33, got 241"),
    ("only overflows", read_nmnist, hexed("00f0000000") * 3, "one: there is no event"),
    ("time falls", read_nmnist, hexed("0102800005 0102800004"), "byte 5, event 1: time falls from 5 to 4"),
    (
        "falls beyond an overflow",
        read_nmnist,
        hexed("01027fffff 00f0000000 0102000000"),
        "byte 10, event 1: time falls",
    ),
]


def saved(**changes: object) -> bytes:
    content = io.BytesIO()
    arrays = {"t": [3, 3, 8], "x": [0, 3, 1], "y": [2, 0, 1], "p": [0, 1, 1], **changes}
    np.savez(content, **{name: np.asarray(values) for name, values in arrays.items() if values is not None})
    return content.getvalue()


def zipped(t: bytes, packing: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of which the first array has these bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as file:
        file.writestr("t.npy", t)
        for name in "xyp":
            file.writestr(f"{name}.npy", array("<i8", "(3,)", bytes(24)))
    return content.getvalue()


def array(kind: str, shape: str, values: bytes, version: bytes = b"\1\0") -> bytes:
    """An ``.npy`` file whose header says this."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + values


def lone(values: list[int]) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


DAMAGED_SUM = bytearray(zipped(array("<i8", "(3,)", bytes(24))))
DAMAGED_SUM[30 + 5 + 128] ^= 1  # a value of t, behind the member's header and name and the array's header
SWOLLEN = bytearray(zipped(array("<i8", "(3,)", bytes(24))))
SWOLLEN[SWOLLEN.index(b"PK\1\2") + 24] ^= 0x40  # in the directory, where sizes of unpacked members are
SWOLLEN[SWOLLEN.index(b"PK\1\2") + 26] = 0xFF
ENCRYPTED = bytearray(zipped(array("<i8", "(3,)", bytes(24))))
ENCRYPTED[ENCRYPTED.index(b"PK\1\2") + 8] |= 1
ENCRYPTED[6] |= 1
PACKED_OTHERWISE = bytearray(zipped(array("<i8", "(3,)", bytes(24))))
PACKED_OTHERWISE[PACKED_OTHERWISE.index(b"PK\1\2") + 10] = 99
ARCHIVE: list[tuple[str, Callable[[Path], Events], bytes, str]] = [
    ("empty", archive, b"", "one is no .npz archive: expected one with t, x, y and p"),
    ("text", archive, b"t,x,y,p\n1,2,3,4\n", "is no .npz archive"),
    ("one array", archive, lone([1, 2]), "is no .npz archive"),
    ("pickle", archive, b"cposix\nsystem\n(S'touch canary'\ntR.", "is no .npz archive"),
    ("no array", archive, b"PK\5\6" + bytes(18), "archive of t, x, y and p: .*'t.npy'"),
    ("no t", archive, saved(t=None), "archive of t, x, y and p: .*'t.npy'"),
    ("no p", archive, saved(p=None), "archive of t, x, y and p: .*'p.npy'"),
    ("cut", archive, saved()[:-30], "is no whole .npz archive"),
    ("wrong sum", archive, bytes(DAMAGED_SUM), "is no whole .npz archive .*: Bad CRC-32"),
    ("t of float", archive, saved(t=[3.0, 3.0, 8.0]), "its array 't' is float64: expected integers"),
    ("NaN in t", archive, saved(t=[3.0, float("nan"), 8.0]), "its array 't' is float64: expected integers"),
    ("t of dates", archive, saved(t=np.array([3, 3, 8], "M8[us]")), r"its array 't' is datetime64\[us\]: expected int"),
    ("t of records", archive, saved(t=np.zeros(3, [("t", "i8")])), "its array 't' is .*: expected integers"),
    ("objects", archive, saved(x=np.array([0, {}, 1], object)), "its array 'x' is object: expected integers"),
    ("a pickle in an array", archive, zipped(array("|O", "(3,)", b"cposix\nsystem\n.")), "'t' is object: expected int"),
    ("encrypted", archive, bytes(ENCRYPTED), "is no whole .npz archive .*: File .*'t.npy'.* is encrypted"),
    ("packed otherwise", archive, bytes(PACKED_OTHERWISE), "is no whole .npz archive .*: .*compression method"),
    ("t of bool", archive, saved(t=[False, True, True]), "its array 't' is bool: expected integers"),
    ("x of text", archive, saved(x=["0", "3", "1"]), "its array 'x' is <U1: expected integers"),
    (
        "two dimensions",
        archive,
        saved(y=[[2, 0, 1]]),
        r"its array 'y' announces \(1, 3\), and has \(3,\): expected one dim",
    ),
    ("a number", archive, saved(y=2), r"its array 'y' announces \(\), and has \(1,\): expected one dim"),
    ("other lengths", archive, saved(p=[0, 1]), r"x, y, p as long, got int64 and .*\(3,\), \(2,\)"),
    ("no event", archive, saved(**{name: np.zeros(0, int) for name in "txyp"}), "one: there is no event"),
    ("x = -1", archive, saved(x=[0, -1, 1]), "event 1: expected x from 0 to 3, got -1"),
    ("x = 4", archive, saved(x=[0, 3, 4]), "event 2: expected x from 0 to 3, got 4"),
    ("y = 300", archive, saved(y=[300, 0, 1]), "event 0: expected y from 0 to 2, got 300"),
    ("p = -1", archive, saved(p=[-1, 1, 1]), "event 0: expected polarity 0 or 1, got -1"),
    ("p = 2", archive, saved(p=np.array([0, 2, 1], "u8")), "event 1: expected polarity 0 or 1, got 2"),
    ("time falls", archive, saved(t=[3, 8, 7]), "event 2: time falls from 8 to 7"),
    ("t too large", archive, saved(t=np.array([0, 1, 2**63], "u8")), "t must lie within 2.*62 microseconds of 0"),
    (
        "no array in the file",
        archive,
        zipped(b"x" * 200),
        "is no whole .npz archive .*: the magic string is not correct",
    ),
    ("of another version", archive, zipped(array("<i8", "(3,)", bytes(24), b"\3\0")), r"has format \(3, 0\)"),
    (
        "announces too much",
        archive,
        zipped(array("<i8", "(1000000000000,)", bytes(24))),
        r"announces \(1000000000000,\), and has \(3,\)",
    ),
    ("announces one too many", archive, zipped(array("<i8", "(4,)", bytes(24))), r"announces \(4,\), and has \(3,\)"),
    ("announces one too few", archive, zipped(array("<i8", "(2,)", bytes(24))), r"announces \(2,\), and has \(3,\)"),
    ("a member that swells", archive, bytes(SWOLLEN), "16712352 bytes are announced, and 608 are there"),
    ("negative shape", archive, zipped(array("<i8", "(-3,)", bytes(24))), r"announces \(-3,\)"),
    ("code for a shape", archive, zipped(array("<i8", "print(3)", bytes(24))), "is no whole .npz archive"),
]
