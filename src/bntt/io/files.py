"""Files: written whole or not at all, synced to disk and read back; checksums of files and values; JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bntt.io.errors import DataError

DEFLATE_MOST = 1032
"""Most bytes that one byte packed by DEFLATE (gzip, zip, .npz) can stand for."""


def write_whole(path: Path, payload: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, synced to disk, read again, renamed over it."""
    path = Path(os.path.realpath(path)) if os.path.islink(path) else path
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is a folder, a device or a pipe: name a file")
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        if temporary.read_bytes() != payload:
            raise OSError(errno.EIO, "the file does not read back as it was written")
        temporary.replace(path)
    except OSError as error:
        raise _failure(error, path, len(payload)) from None
    finally:
        with suppress(OSError):  # its folder is gone or read-only: the first error is the one to tell
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk, if the system supports it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _failure(error: OSError, path: Path, size: int) -> OSError:
    text = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        text += f": {size:,} bytes are needed, {shutil.disk_usage(path.parent).free:,} are free"
    return OSError(error.errno, f"{path} could not be written, what was there before is unchanged ({text})")


def read_file(path: Path, most: int | None = None, error: type[Exception] = DataError) -> bytes:
    """Read a file of at most ``most`` bytes; refuse a pipe or a device, which could block."""
    try:
        facts = path.stat()
        if stat.S_ISREG(facts.st_mode) and (most is None or facts.st_size <= most):
            return path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path} does not exist") from None
    except (OSError, ValueError) as failure:
        raise error(f"{path} cannot be read: {getattr(failure, 'strerror', None) or failure}") from None
    if stat.S_ISREG(facts.st_mode):
        raise error(f"{path} has {facts.st_size:,} bytes, at most {most:,} are read")
    folder = ", but a folder: name a file in it" if stat.S_ISDIR(facts.st_mode) else ""
    raise error(f"{path} cannot be read: it is no file{folder}")


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a whole file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def digest_of_bytes(content: bytes) -> str:
    """Return the SHA-256 of bytes, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8; file names that are not UTF-8 keep their bytes."""
    return digest_of_bytes(text.encode("utf-8", "surrogateescape"))


def digest_of_values(values: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    return digest_of_bytes(json.dumps(values, sort_keys=True).encode())


def last_name(path: str) -> str:
    """Return the last name of a path, of any operating system.

    >>> last_name("/a/b/"), last_name("C:\\\\mine\\\\cifar10")
    ('b', 'cifar10')
    """
    return re.split(r"[\\/]+", path.rstrip("\\/"))[-1]


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or tables are nested too deeply") from None


def read_json(path: Path) -> Any:
    """Read the value in a JSON file of UTF-8."""
    return parse_json(path.read_text(encoding="utf-8"))


def find_object(path: Path) -> dict[str, Any] | None:
    """Read the object in a JSON file; None if there is none that can be read."""
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def write_json(path: Path, values: Any) -> None:
    """Write a value as JSON, whole or not at all, one entry a line."""
    write_whole(path, (json.dumps(values, indent=1) + "\n").encode())


def write_json_lines(path: Path, rows: list[Any]) -> None:
    """Write values, one per line, whole or not at all."""
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def flatten(values: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """Flatten nested objects into one, with their keys joined."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = flatten(value, separator) if isinstance(value, dict) else None
        found |= {key: value} if inner is None else {f"{key}{separator}{name}": one for name, one in inner.items()}
    return found
