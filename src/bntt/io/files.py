"""Files: written whole or not at all, synced to disk and read back; checksums; JSON and TOML; sealed safetensors."""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from bntt.io.errors import DataError, refusing

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
        text = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            text += f": {len(payload):,} bytes are needed, {shutil.disk_usage(path.parent).free:,} are free"
        fault = f"{path} could not be written, what was there before is unchanged ({text})"
        raise OSError(error.errno, fault) from None
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


def read_file(path: Path, most: int | None = None, error: type[Exception] = DataError) -> bytes:
    """Read a file of at most ``most`` bytes; refuse a pipe or a device, which could block."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            folder = ", but a folder: name a file in it" if stat.S_ISDIR(facts.st_mode) else ""
            fault = f"cannot be read: it is no file{folder}"
        elif most is not None and facts.st_size > most:
            fault = f"has {facts.st_size:,} bytes, at most {most:,} are read"
        else:
            return path.read_bytes()
    except FileNotFoundError:
        fault = "does not exist"
    except (OSError, ValueError) as failure:
        fault = f"cannot be read: {getattr(failure, 'strerror', None) or failure}"
    raise error(f"{path} {fault}")


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
    """Return the last name of a path, of any operating system."""
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
        with refusing(f"{path} is damaged or not a {self.kind}: its header cannot be read", error=self.error):
            size = int.from_bytes(payload[:8], "little")
            if size > MOST_HEAD:
                raise ValueError(f"{size:,} bytes")
            notes = json.loads(payload[8 : 8 + size])["__metadata__"]
            version, expected = notes["format"], notes["sha256"].encode() if notes["format"] == self.format else b""
        if version != self.format:
            raise self.error(f"{path} has format {version}, this version reads {self.format}")
        blank = payload.replace(expected, _NO_SUM, 1)
        if len(expected) != 64 or hashlib.sha256(blank).hexdigest().encode() != expected:
            raise self.error(f"{path} is damaged: its bytes are not those that were written (SHA-256)")
        return payload, notes


DEEPEST = 20
"""Limit of nested tables: far more than any file here has."""


class TomlError(ValueError):
    """A TOML file that is missing or cannot be read; the message names it and says what is wrong."""


def names_in(folder: str) -> list[str]:
    """List the names of the TOML files in a folder of the package."""
    entries = files("bntt").joinpath(folder).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def read_named(source: str | Path, folder: str, what: str, largest: int) -> dict[str, Any]:
    """Read the tables of a TOML file, by the name of one that comes with the package or by path."""
    known = names_in(folder)
    if str(source) in known:
        text = files("bntt").joinpath(f"{folder}/{source}.toml").read_text(encoding="utf-8")
    else:
        path = Path(source)
        if not path.is_file():  # also what a FIFO or a device is not
            inside = path / f"{what}.toml"  # a run's directory in place of its recipe
            near = [str(inside)] if inside.is_file() else difflib.get_close_matches(str(path), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TomlError(f"no {what} {str(path)!r}: {hint}give a file, or one of {', '.join(known)}")
        with refusing(f"{path} is not UTF-8 text", UnicodeDecodeError, error=TomlError):
            text = read_file(path, largest, TomlError).decode("utf-8-sig")  # some editors begin UTF-8 with a mark
    with refusing(f"{source} is not TOML", ValueError, error=TomlError):
        return tables_of(text)


def tables_of(text: str) -> dict[str, Any]:
    """Parse a TOML text whose tables are nested at most ``DEEPEST`` deep."""
    with suppress(RecursionError):
        values = tomllib.loads(text)
        if _depth(values) <= DEEPEST:
            return values
    raise ValueError(f"tables or lists nested deeper than {DEEPEST}")


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Say that there is no such key, and name the nearest one or all."""
    near = difflib.get_close_matches(key, known, n=1)
    return "unknown key; " + (f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}")
