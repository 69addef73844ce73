"""Files of safetensors with notes in the header and their own SHA-256, computed with dots in its place; no PyTorch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from bntt.io.files import read_file

MOST_HEAD = 32 << 20
"""Most bytes of a header, with the notes: a training of ten thousand epochs needs a sixth of it."""
_NO_SUM = ("·" * 32).encode()
"""Placeholder for the checksum: 64 bytes that JSON in ASCII, and so the notes, cannot hold."""


@dataclass(frozen=True)
class Seal:
    """One kind of sealed files."""

    kind: str
    """Its name in messages."""
    format: str
    """Number of the format that is written and read."""
    error: type[Exception]
    """Exception to raise for a file that cannot be read."""

    def notes(self, **notes: str) -> dict[str, str]:
        """Return a header's notes, with room for the checksum."""
        return {"format": self.format, "sha256": _NO_SUM.decode(), **notes}

    def sealed(self, payload: bytes) -> bytes:
        """Put the checksum into the bytes of a file whose header has :meth:`notes`."""
        return payload.replace(_NO_SUM, hashlib.sha256(payload).hexdigest().encode(), 1)

    def opened(self, path: Path) -> tuple[bytes, dict[str, str]]:
        """Read a file's bytes and its header's notes, if it is as it was written."""
        payload = read_file(path, error=self.error)
        try:
            size = int.from_bytes(payload[:8], "little")
            if size > MOST_HEAD:
                raise ValueError(f"{size:,} bytes")
            notes = json.loads(payload[8 : 8 + size])["__metadata__"]
            version, expected = notes["format"], notes["sha256"].encode() if notes["format"] == self.format else b""
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self.error(f"{path} is damaged or not a {self.kind}: its header cannot be read") from None
        if version != self.format:
            raise self.error(f"{path} has format {version}, this version reads {self.format}")
        blank = payload.replace(expected, _NO_SUM, 1)
        if len(expected) != 64 or hashlib.sha256(blank).hexdigest().encode() != expected:
            raise self.error(f"{path} is damaged: its bytes are not those that were written (SHA-256)")
        return payload, notes
