"""Recordings that are damaged, each in one way, and what is named of them: bytes written out by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bntt.data.events.binning import Events
from bntt.data.events.formats import DAVIS240, DAVIS346, read_aedat2, read_aedat4, read_event_archive, read_nmnist
from tests.data.events.aedat4_files import recording

Read = Callable[[Path], Events]
VERSION = b"#!AER-DAT2.0\r\n"
GOOD = bytes.fromhex("00000102 00000005")
davis = partial(read_aedat2, layout=DAVIS346)
small_davis = partial(read_aedat2, layout=DAVIS240)
archive = partial(read_event_archive, height=3, width=4)


def words(text: str) -> bytes:
    return VERSION + bytes.fromhex(text)


AEDAT2: list[tuple[Read, bytes, str]] = [
    (read_aedat2, b"", "begins with ''"),
    (read_aedat2, GOOD * 9, r"begins with '\\x00\\x00\\x01\\x02"),
    (read_aedat2, b"# DVS128\r\n" + GOOD, "# DVS128"),
    (read_aedat2, b"#!AER-DAT1.0\r\n" + GOOD, "DAT1.0"),
    (read_aedat2, b"#!AER-DAT4.0\r\n", "DAT4.0"),
    (read_aedat2, VERSION[:7], "#!AER-D"),
    (read_aedat2, VERSION.strip(), "header"),
    (read_aedat2, VERSION + b"# abc", "header"),
    (read_aedat2, VERSION + b"#" * (1 << 21), "header"),
    (read_aedat2, VERSION + b"# a line\n" * (1 << 18), "header"),
    (read_aedat2, VERSION, "no event"),
    (read_aedat2, VERSION + b"#End Of ASCII Header\r\n", "no event"),
    (read_aedat2, VERSION + b"\0", rf"1 of 8 bytes follow byte {len(VERSION)} \(its header has {len(VERSION)}\)"),
    (read_aedat2, VERSION + GOOD + GOOD[:7], f"7 of 8 bytes follow byte {len(VERSION) + 8}"),
    (read_aedat2, VERSION + GOOD + bytes.fromhex("00000102 00000004"), "event 1: time .* 5 to 4"),
    (read_aedat2, VERSION + GOOD + bytes.fromhex("00000102 80000005"), "event 1: time .* 5 to -2147483643"),
    (read_aedat2, words("00000000 ffffffff 00000000 00000000 00000000 fffffff0"), "event 2: time .* 4294967296 to"),
    (read_aedat2, VERSION + GOOD + bytes.fromhex("00010000 00000006"), "address 00010000 .*DVS128"),  # has no bit 16
    (read_aedat2, words("02010000 05000000"), "address 02010000"),  # little-endian
    (read_aedat2, words("00159000 00000006"), "address 00159000"),  # of a DAVIS
    (read_aedat2, words("00008000 00000006"), "no event"),  # triggers alone
    (davis, words(4 * "80159000 00000006"), "no event"),  # images alone
    (davis, words("0015a000 00000006"), "event 0: .* x .*345, got 346"),
    (davis, words("41000000 00000006"), "event 0: .* y .*259, got 260"),
    (small_davis, words("00159000 00000006"), "x .*239, got 345"),
    (small_davis, words("80000000 00000005 00001000 00000005 000f0000 00000006"), "event 1: .* x .* got 240"),
]
NMNIST: list[tuple[Read, bytes, str]] = [
    (read_nmnist, bytes.fromhex(content), match)
    for content, match in (
        ("", "no event"),
        ("00", "1 bytes"),
        ("0102800005 0304", "7 bytes"),
        ("2202800005", "event 0: .* x .*33, got 34"),
        ("0102800005 0122800005", "event 1: .* y .*33, got 34"),
        ("01f1800005", "y .* got 241"),
        ("00f0000000" * 3, "no event"),  # overflows alone
        ("0102800005 0102800004", "event 1: time .* 5 to 4"),
        ("01027fffff 00f0000000 0102000000", "event 1: time"),  # beyond an overflow
    )
]


def saved(**changes: object) -> bytes:
    content = io.BytesIO()
    arrays = {"t": [3, 3, 8], "x": [0, 3, 1], "y": [2, 0, 1], "p": [0, 1, 1], **changes}
    np.savez(content, **{name: np.asarray(values) for name, values in arrays.items() if values is not None})
    return content.getvalue()


def array(kind: str, shape: str, values: bytes, version: bytes = b"\1\0") -> bytes:
    """An ``.npy`` file whose header says this."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + values


def zipped(t: bytes = array("<i8", "(3,)", bytes(24)), packing: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of which the first array has these bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as file:
        file.writestr("t.npy", t)
        for name in "xyp":
            file.writestr(f"{name}.npy", array("<i8", "(3,)", bytes(24)))
    return content.getvalue()


def announcing(shape: str) -> bytes:
    return zipped(array("<i8", shape, bytes(24)))


def patched(*changes: tuple[int, int], local: tuple[tuple[int, int], ...] = ()) -> bytes:
    """An archive with other bytes: in the entry of ``t`` in the directory, and behind the start."""
    content = bytearray(zipped())
    for place, value in [(content.index(b"PK\1\2") + at, value) for at, value in changes] + list(local):
        content[place] = value
    return bytes(content)


def lone(values: list[int]) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


VALUE_OF_T = 30 + 5 + 128
"""Behind the member's header and name and the array's header."""
ARCHIVE: list[tuple[Read, bytes, str]] = [
    (archive, b"", "t, x, y and p"),
    (archive, b"t,x,y,p\n1,2,3,4\n", "npz"),
    (archive, lone([1, 2]), "npz"),
    (archive, b"cposix\nsystem\n(S'touch canary'\ntR.", "npz"),
    (archive, b"PK\5\6" + bytes(18), "'t.npy'"),
    (archive, saved(t=None), "'t.npy'"),
    (archive, saved(p=None), "'p.npy'"),
    (archive, saved()[:-30], "npz"),
    (archive, patched(local=((VALUE_OF_T, 1),)), "CRC"),
    (archive, saved(t=[3.0, float("nan"), 8.0]), "'t' is float64"),
    (archive, saved(t=np.array([3, 3, 8], "M8[us]")), "'t' is datetime64"),
    (archive, saved(t=np.zeros(3, [("t", "i8")])), "'t' is "),
    (archive, saved(x=np.array([0, {}, 1], object)), "'x' is object"),
    (archive, zipped(array("|O", "(3,)", b"cposix\nsystem\n.")), "'t' is object"),  # with a pickle in it
    (archive, patched((8, 1), local=((6, 1),)), "'t.npy'.* encrypted"),
    (archive, patched((10, 99)), "compression"),
    (archive, patched((24, 0x98 ^ 0x40), (26, 0xFF)), "bytes are announced"),
    (archive, saved(t=[False, True, True]), "'t' is bool"),
    (archive, saved(x=["0", "3", "1"]), "'x' is <U1"),
    (archive, saved(y=[[2, 0, 1]]), r"'y' .*\(1, 3\)"),
    (archive, saved(y=2), r"'y' .*\(\)"),
    (archive, saved(p=[0, 1]), r"\(3,\), \(2,\)"),
    (archive, saved(**{name: np.zeros(0, int) for name in "txyp"}), "no event"),
    (archive, saved(x=[0, 3, 4]), "event 2: .* x .*3, got 4"),
    (archive, saved(p=np.array([0, 2, 1], "u8")), "event 1: .* polarity .*got 2"),
    (archive, saved(t=[3, 8, 7]), "event 2: time .* 8 to 7"),
    (archive, saved(t=np.array([0, 1, 2**63], "u8")), "t must lie within"),
    (archive, zipped(b"x" * 200), "magic"),
    (archive, zipped(array("<i8", "(3,)", bytes(24), b"\3\0")), r"format \(3, 0\)"),
    (archive, announcing("(1000000000000,)"), r"'t' .*\(1000000000000,\)"),
    (archive, announcing("(4,)"), r"'t' .*\(4,\)"),
    (archive, announcing("(2,)"), r"'t' .*\(2,\)"),
    (archive, announcing("(-3,)"), r"'t' .*\(-3,\)"),
    (archive, announcing("print(3)"), "npz"),
]
TIMES = [b"\0\0%c%c" % (i, i) for i in range(60)]
SEEDS: dict[str, tuple[Read, bytes]] = {
    "dvs128": (read_aedat2, VERSION + b"# a line\r\n" + b"".join(b"\0\0%c\3" % i + TIMES[i] for i in range(60))),
    "davis": (davis, VERSION + b"".join(b"%c\x10\0\0" % (35 + i % 2) + TIMES[i] for i in range(60))),
    "nmnist": (read_nmnist, b"".join(b"%c%c\x80%c\0" % (i % 34, i % 34, i) for i in range(60)) + b"\0\xf0\0\0\0"),
    "npz": (archive, saved()),
    "npz packed": (archive, zipped(packing=zipfile.ZIP_DEFLATED)),
}
"""Whole recordings and their readers, to be changed at random, more often by ``python -m tests.robustness files``."""
FOREIGN = {"aedat4": (read_aedat4, recording(1)), "aedat4 lz4": (read_aedat4, recording(2, lz4=True))}
"""Read by a package that may end the process: only in one of their own."""
