"""Reader of result files from any source, in which anything may be missing, of another type, or too large.

The caller states what a file must hold. A missing part raises :class:`GapError`, whose one line names the place and is
shown on the page as a gap.
"""

from __future__ import annotations

import base64
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from bntt.analysis.result import BEYOND

LARGEST = 32 << 20
"""Largest size of a file that is read, in bytes."""
LONGEST = 2_000
"""Longest text that is shown, in characters."""
MOST_ROWS = 5_000
"""Most objects or texts in any list; more are refused."""
MOST_VALUES = 100_000
"""Most values in any list of a measurement, and most epochs; more are refused, as a part is not the whole."""
_HIDDEN = dict.fromkeys([*range(32), 127, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "�") | {
    9: " ",
    10: "\n",
    13: "",
}
"""Characters that are invisible, or change the writing direction of their neighbours."""


class GapError(ValueError):
    """Gap: one line that names what a file lacks."""


def clean(text: str, longest: int = LONGEST) -> str:
    """Clean a text for any page: whole, visible characters, and of limited length.

    >>> clean("a\\x00b\\ud800")
    'a�b?'
    """
    whole = text.encode("utf-8", "replace").decode("utf-8").translate(_HIDDEN)
    return whole if len(whole) <= longest else whole[: longest - 1] + "…"


def cleaned(values: Any) -> Any:
    """Clean every text in a JSON value.

    Raises:
        ValueError: if a list or an object in it is too long.
    """
    if isinstance(values, str):
        return clean(values)
    if isinstance(values, list | Mapping) and len(values) > MOST_VALUES:
        raise ValueError(f"{len(values):,} values in a list, more than the {MOST_VALUES:,} that are read")
    if isinstance(values, list):
        return [cleaned(one) for one in values]
    if isinstance(values, Mapping):
        return {clean(str(key), 100): cleaned(one) for key, one in values.items()}
    return values


def read_bytes(path: Path, largest: int | None = None) -> bytes:
    """Read a file's content, at most ``largest`` bytes, by default :data:`LARGEST`.

    Raises:
        GapError: if it is not a file, cannot be read, or is larger than that.
    """
    name, most = clean(path.name, 100), LARGEST if largest is None else largest
    try:
        if not path.is_file():
            raise GapError(f"{name}: missing")
        size = path.stat().st_size
        if size > most:
            raise GapError(f"{name}: {size / 2**20:,.0f} MiB, more than the {most / 2**20:,.0f} MiB that are read")
        return path.read_bytes()
    except OSError as error:
        raise GapError(f"{name}: cannot be read ({error.strerror or error})") from None


def read_json(path: Path) -> Values:
    """Read the object in a JSON file.

    Raises:
        GapError: if there is none.
    """
    name = clean(path.name, 100)
    return _object(parsed(read_bytes(path), name), name)


def parsed(content: bytes, name: str) -> Any:
    """Parse JSON into Python values.

    Raises:
        GapError: if it is not JSON.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GapError(f"{name}: not JSON ({clean(str(error), 120)})") from None


def read_lines(path: Path) -> list[Values]:
    """Read the objects of a file with one on every line; a truncated last line is left out.

    Raises:
        GapError: if a line before it is not an object, or there are too many.
    """
    name = clean(path.name, 100)
    lines = [line for line in read_bytes(path).splitlines() if line.strip()]
    if len(lines) > MOST_VALUES:
        raise GapError(f"{name}: {len(lines):,} lines, more than the {MOST_VALUES:,} that are read")
    found = list[Values]()
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        try:
            found.append(_object(parsed(line, where), where))
        except GapError:
            if number < len(lines):
                raise
    return found


def read_toml(path: Path) -> Values:
    """Read the tables of a TOML file.

    Raises:
        GapError: if it is not TOML.
    """
    name = clean(path.name, 100)
    try:
        return Values(tomllib.loads(read_bytes(path, 1 << 20).decode("utf-8")), name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GapError(f"{name}: not TOML ({clean(str(error), 120)})") from None


def _object(value: Any, where: str) -> Values:
    if not isinstance(value, dict):
        raise GapError(f"{where}: an object was expected")
    return Values(value, where)


def finite(value: Any) -> float | None:
    """Return a number, or None for one that is not finite, beyond any valid one, or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) < BEYOND else None


@dataclass(frozen=True)
class Values:
    """Object of a file, and its place in it.

    >>> Values({"steps": "many"}, "exit.json").number("steps")
    Traceback (most recent call last):
    bntt.studies.report.reading.GapError: exit.json: 'steps' is no number
    """

    held: Mapping[str, Any]
    where: str

    def __contains__(self, key: str) -> bool:
        return self.held.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def _gap(self, key: str, what: str) -> GapError:
        return GapError(
            f"{self.where}: {clean(key, 60)!r} " + (f"is no {what}" if self.held.get(key) is not None else "is missing")
        )

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = finite(self.held.get(key))
        if value is None:
            raise self._gap(key, "number")
        return value

    def maybe(self, key: str) -> float | None:
        """Return a number, or None if it is missing or not finite."""
        return finite(self.held.get(key))

    def whole(self, key: str) -> int:
        """Return a whole number."""
        return round(self.number(key))

    def text(self, key: str) -> str:
        """Return a cleaned text."""
        value = self.held.get(key)
        if not isinstance(value, str):
            raise self._gap(key, "text")
        return clean(value)

    def shown(self, key: str, otherwise: str = "") -> str:
        """Return a text or number in readable form; ``otherwise`` if there is none."""
        value = self.held.get(key)
        return clean(str(value)) if isinstance(value, str | int | float) else otherwise

    def numbers(self, key: str) -> tuple[float | None, ...]:
        """Return a list of numbers; None stands for one that is not finite."""
        value = self.held.get(key)
        if not isinstance(value, list) or any(not isinstance(one, int | float | None) for one in value):
            raise self._gap(key, "list of numbers")
        return tuple(finite(one) for one in value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(clean(str(one)) for one in self._list(key, "list") if isinstance(one, str | int | float))

    def inside(self, key: str) -> Values:
        """Return a nested object."""
        value = self.held.get(key)
        if not isinstance(value, dict):
            raise self._gap(key, "object")
        return Values(value, f"{self.where}: {clean(key, 60)}")

    def rows(self, key: str) -> list[Values]:
        """Return a list of objects."""
        value = self._list(key, "list of objects")
        if any(not isinstance(one, dict) for one in value):
            raise self._gap(key, "list of objects")
        return [Values(one, f"{self.where}: {clean(key, 60)}[{i}]") for i, one in enumerate(value)]

    def _list(self, key: str, what: str) -> list[Any]:
        value = self.held.get(key)
        if not isinstance(value, list):
            raise self._gap(key, what)
        if len(value) > MOST_ROWS:
            raise GapError(
                f"{self.where}: {clean(key, 60)!r} has {len(value):,} rows, more than the {MOST_ROWS:,} read"
            )
        return value


LARGEST_FIGURE = 4 << 20
"""Largest size of a figure, in bytes."""
_ENDS = {b"<?": b"?>", b"<!--": b"-->", b"<!DOCTYPE": b">"}
"""Delimiters of the constructs that may precede the picture."""


def address_of(folder: Path, name: str) -> str:
    """Return the data address of the named figure in a directory.

    Raises:
        GapError: if it lies elsewhere, is missing, is too large, or not an SVG; entities are refused, since they can
            expand without limit.
    """
    shown = clean(name, 100)
    if PurePath(name).name != name or not name.endswith(".svg"):
        raise GapError(f"{shown}: a figure is the name of an SVG file beside result.json")
    path = folder / name
    if path.is_symlink():
        raise GapError(f"{shown}: a link, and no figure of its own")
    content = read_bytes(path, LARGEST_FIGURE)
    if not _is_svg(content) or b"<!ENTITY" in content:
        raise GapError(f"{shown}: no SVG that can be shown")
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode('ascii')}"


def _is_svg(content: bytes) -> bool:
    """Return True if the first element is ``svg``; scan once from the front, however long the preceding part is."""
    at = len(b"\xef\xbb\xbf") if content.startswith(b"\xef\xbb\xbf") else 0
    while at < len(content):
        if content[at : at + 1].isspace():
            at += 1
            continue
        begin = next((mark for mark in _ENDS if content.startswith(mark, at)), None)
        if begin is None:
            return content.startswith(b"<svg", at) and content[at + 4 : at + 5] in b" \t\r\n>/"
        end = content.find(_ENDS[begin], at)
        if end < 0:
            return False
        at = end + len(_ENDS[begin])
    return False
