"""Checksums: of files, texts, and values that JSON can hold."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a whole file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def digest_of_bytes(content: bytes) -> str:
    """The SHA-256 of bytes, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of_text(text: str) -> str:
    """The SHA-256 of a text in UTF-8; names of files that are none keep their bytes.

    >>> digest_of_text("bntt")[:8]
    'ea180ba0'
    """
    return digest_of_bytes(text.encode("utf-8", "surrogateescape"))


def digest_of_values(values: Any) -> str:
    """The SHA-256 of what JSON can hold, whatever the order of its keys.

    >>> digest_of_values({"a": 1, "b": 2}) == digest_of_values({"b": 2, "a": 1})
    True
    """
    return digest_of_bytes(json.dumps(values, sort_keys=True).encode())
