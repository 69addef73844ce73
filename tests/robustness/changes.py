"""One file made of another: bits, bytes, numbers in headers, parts cut, doubled, moved or taken from a second file."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

import numpy as np

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Where sizes and offsets go wrong."""
LONG = (*NUMBERS, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
TEXTS = (b"-1", b"0", b"1e999", b"nan", b"inf", b"9" * 30, b"9" * 5000, b"0x10", b"true", b'""', b"[]", b"{}", b"null")
SIGNS = (b"\0", b"\xff", b"\xc3\x28", b"../", b"/etc/passwd", b"\n", b'"', b"[" * 3000, b"{" * 3000, b"a." * 3000)
DIGITS = re.compile(rb"-?\d+(\.\d+)?")


def changed(
    content: bytes, rng: np.random.Generator, others: Sequence[bytes] = (), words: Sequence[bytes] = ()
) -> bytes:
    """One to four changes; parts may come of others of the same format, or of words that mean something in it."""
    made = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        at, size = _place(rng, len(made)), int(rng.integers(1, 1 << int(rng.integers(1, 10))))
        match int(rng.integers(0, 12)):
            case 0 if made:
                made[min(at, len(made) - 1)] ^= 1 << int(rng.integers(0, 8))
            case 1:
                made[at : at + 1] = rng.bytes(1)
            case 2:
                number = _number(rng)
                made[at : at + len(number)] = number
            case 3:
                del made[at:]
            case 4:
                del made[at : at + size]
            case 5:
                made[at:at] = made[at : at + size] * int(rng.integers(1, 4))
            case 6:
                part, to = bytes(made[at : at + size]), _place(rng, len(made))
                made[to : to + len(part)] = part
            case 7 if others:
                other = others[int(rng.integers(0, len(others)))]
                start = _place(rng, len(other))
                made[at : at + size] = other[start : start + size]
            case 8 if words:
                word = words[int(rng.integers(0, len(words)))]
                made[at : at + (len(word) if rng.integers(0, 2) else 0)] = word
            case 9:
                _rewrite(made, rng)
            case 10:
                made[at:at] = SIGNS[int(rng.integers(0, len(SIGNS)))]
            case 11:
                made[at : at + size] = bytes(size)
    return bytes(made)


def _place(rng: np.random.Generator, size: int) -> int:
    """Anywhere, and as often as not near one of the ends, where headers and directories are."""
    near = min(size, 96)
    match int(rng.integers(0, 4)):
        case 0:
            return int(rng.integers(0, near + 1))
        case 1:
            return size - int(rng.integers(0, near + 1))
    return int(rng.integers(0, size + 1))


def _number(rng: np.random.Generator) -> bytes:
    order = "<>"[int(rng.integers(0, 2))]
    width = int(rng.integers(0, 4))
    known = LONG if width == 3 else NUMBERS
    value = known[int(rng.integers(0, len(known)))] + int(rng.integers(-1, 2))
    return struct.pack(order + "BHIQ"[width], value % (1 << (8 << width)))


def _rewrite(made: bytearray, rng: np.random.Generator) -> None:
    """A number of a text becomes another."""
    found = list(DIGITS.finditer(bytes(made[: 1 << 14])))
    if found:
        one = found[int(rng.integers(0, len(found)))]
        made[one.start() : one.end()] = TEXTS[int(rng.integers(0, len(TEXTS)))]
