"""The one writer of files that count: whole or not at all, durable, and read again before it counts."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path


def write_whole(path: Path, payload: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, synced to disk, read again, renamed over it.

    A kill at any moment leaves the old file or the new one.

    Raises:
        OSError: if it cannot be written, naming the file and, on a full disk, what is needed and what is free.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        if temporary.read_bytes() != payload:
            raise OSError(errno.EIO, "what was written is not what is read again")
        temporary.replace(path)
    except OSError as error:
        raise _told(error, path, len(payload)) from None
    finally:
        _discard(temporary)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's names durable, where the system knows how: Windows opens no folder, and needs no such thing; some
    file systems of networks refuse.

    Raises:
        OSError: if it fails; what was written is there, but might not outlive a loss of power.
    """
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


def _discard(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        return  # its folder is gone or read-only: the first error is the one to tell


def _told(error: OSError, path: Path, size: int) -> OSError:
    text = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        text += f": {size:,} bytes are needed, {shutil.disk_usage(path.parent).free:,} are free"
    return OSError(error.errno, f"{path} could not be written, what was there before is unchanged ({text})")
