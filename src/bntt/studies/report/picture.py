"""Somebody's vector graphics in the page: as the ``data:`` address of an image.

In an image nothing runs and no other file is opened, whatever it holds. Inline it would be a part of the page, and
would have to be cleaned by rules that go out of date.
"""

from __future__ import annotations

import base64
from pathlib import Path, PurePath

from bntt.studies.report.reading import GapError, clean, read_bytes

LARGEST = 4 << 20
"""Bytes of a figure."""
_ENDS = {b"<?": b"?>", b"<!--": b"-->", b"<!DOCTYPE": b">"}
"""Of what may stand before the picture."""


def address_of(folder: Path, name: str) -> str:
    """The figure of this name in a directory.

    Raises:
        GapError: if it lies elsewhere, is not there, is too large, or no SVG; entities of its own are refused, for they
            can grow without an end.
    """
    said = clean(name, 100)
    if PurePath(name).name != name or not name.endswith(".svg"):
        raise GapError(f"{said}: a figure is the name of an SVG file beside result.json")
    path = folder / name
    if path.is_symlink():
        raise GapError(f"{said}: a link, and no figure of its own")
    content = read_bytes(path, LARGEST)
    if not _is_svg(content) or b"<!ENTITY" in content:
        raise GapError(f"{said}: no SVG that can be shown")
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode('ascii')}"


def _is_svg(content: bytes) -> bool:
    """Whether its first element is ``svg``; looked at once from the front, however long what stands before it is."""
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
