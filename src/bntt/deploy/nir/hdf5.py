"""Read a NIR file and write its graph as safetensors: a program for a separate process, since HDF5 can crash.

Nothing here imports this package. What no graph has is refused before it is followed: links to other files, data
outside the file, one object in two places, and more bytes than a network has.
"""

from __future__ import annotations

import io
import json
import math
import sys
from contextlib import suppress
from typing import Any

MOST_BYTES = 2 << 30
"""Of all numbers together, and of the file."""
ARRAY = "\0array"
"""Key of the place of an array: no name in a file can have its first character."""
MEMORY, SECONDS = 8 << 30, 240
"""What the process may take."""


class Refused(Exception):
    """A file that is no graph."""


def packed(payload: bytes) -> bytes:
    """Return a file's graph as safetensors: its arrays of numbers by place, and all else as JSON in the notes."""
    import h5py
    import numpy as np
    import safetensors.numpy

    arrays, seen, left = dict[str, Any](), set[Any](), MOST_BYTES

    def taken(held: Any, place: str = "") -> Any:
        nonlocal left
        identity, kind, why = h5py.h5o.get_info(held.id).addr, getattr(held, "dtype", np.dtype("V")), ""
        size = kind.itemsize * math.prod(map(int, getattr(held, "shape", None) or ()))
        if identity in seen:
            why = "is in the file twice"
        elif isinstance(held, h5py.Group):
            seen.add(identity)
            if links := [name for name in held if not isinstance(held.get(name, getlink=True), h5py.HardLink)]:
                raise Refused(f"{place}/{links[0]} is a link to elsewhere")
            return {name: taken(held[name], f"{place}/{name}") for name in held}
        elif not isinstance(held, h5py.Dataset):
            why = f"is {type(held).__name__}, neither a group nor numbers"
        elif held.external or held.is_virtual:
            why = "has its numbers in other files"
        elif held.shape is None or (kind.kind not in "fiubS" and h5py.check_string_dtype(kind) is None):
            why = f"holds {kind} {held.shape}: neither numbers nor text"
        elif size > left:
            why = f"would have {size:,} bytes, of at most {left:,}"
        if why:
            raise Refused(f"{place} {why}")
        seen.add(identity)
        left -= size
        return plain(held[()], arrays)

    try:
        with h5py.File(io.BytesIO(payload), "r") as held:
            tree = taken(held)
    except Refused:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise Refused(f"HDF5 cannot read it ({type(error).__name__}: {first[:200]})") from None
    return safetensors.numpy.save(arrays, {"graph": json.dumps(tree.get("node", {}))})


def plain(value: Any, arrays: dict[str, Any]) -> Any:
    """Return a value as JSON has it; an array of numbers goes into ``arrays``."""
    import numpy as np

    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        arrays[str(len(arrays))] = np.array(value, value.dtype.newbyteorder("="), order="C")
        return {ARRAY: str(len(arrays) - 1)}
    if isinstance(value, np.ndarray | list):
        return [plain(one, arrays) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value


def limit() -> None:
    """Bound this process's memory, if the system can; a stricter limit of the system stays."""
    with suppress(ImportError, ValueError, OSError):  # Windows has none; on macOS a process maps more than any limit
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def main() -> int:
    """Read a file's bytes from standard input, write its graph to standard output; if refused, say why and return 3."""
    limit()
    try:
        made = packed(sys.stdin.buffer.read())
    except Refused as error:
        sys.stderr.write(str(error))
        return 3
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
