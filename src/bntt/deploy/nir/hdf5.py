"""Open a NIR file and write its graph as safetensors: a program for a separate process, since HDF5 can crash.

Nothing here imports this package. What no graph has is refused before it is followed: links to other files, data
outside the file, one object in two places, filters that are plugins, and more bytes than a network has.
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
MOST_OBJECTS, DEEPEST = 50_000, 12
FILTERS = ("gzip", "lzf", "shuffle", "fletcher32")
ARRAY = "\0array"
"""Key of the place of an array: no name in a file can have its first character."""
MEMORY, SECONDS = 8 << 30, 120
"""What the process may take."""


class Refused(Exception):
    """A file that is no graph."""


def check(group: Any, h5py: Any, seen: set[Any], left: int = MOST_BYTES, depth: int = 0, place: str = "") -> int:
    """Refuse what is not part of a graph; return how many of the ``left`` bytes remain."""
    for name in group:
        here, why, size = f"{place}/{name}", "", 0
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise Refused(f"{here} is a link to elsewhere")
        held = group[name]
        identity = h5py.h5o.get_info(held.id).addr
        if identity in seen:
            why = "is in the file twice"
        elif len(seen) == MOST_OBJECTS:
            why = f"is one of more than {MOST_OBJECTS:,} parts"
        elif isinstance(held, h5py.Dataset):
            why, size = unfit(held, h5py, left)
        elif not isinstance(held, h5py.Group):
            why = f"is {type(held).__name__}, neither a group nor numbers"
        elif depth == DEEPEST:
            why = f"lies {depth + 1} groups deep"
        if why:
            raise Refused(f"{here} {why}")
        seen.add(identity)
        left = check(held, h5py, seen, left, depth + 1, here) if isinstance(held, h5py.Group) else left - size
    return left


def unfit(held: Any, h5py: Any, left: int) -> tuple[str, int]:
    """Return why an array is not part of a graph, "" if it is, and its size in bytes."""
    plan = held.id.get_create_plist()
    filters = {plan.get_filter(number)[0] for number in range(plan.get_nfilters())}
    known = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    size: int = held.dtype.itemsize * math.prod(map(int, held.shape or ()))
    most = max(size, held.dtype.itemsize * math.prod(map(int, held.chunks or ())))
    why = ""
    if held.external or held.is_virtual:
        why = "has its numbers in other files"
    elif not filters <= known:
        why = f"is packed by other means than {', '.join(FILTERS)}"
    elif held.shape is None:
        why = "is empty"
    elif held.dtype.kind not in "fiubS" and h5py.check_string_dtype(held.dtype) is None:
        why = f"holds {held.dtype}: neither numbers nor text"
    elif most > left:
        why = f"would have {most:,} bytes, of at most {left:,}"
    return why, size


def opened(payload: bytes) -> dict[str, Any]:
    """Return the graph in a file's bytes, as ``nir.NIRGraph.to_dict`` has it."""
    import h5py
    import nir

    file, wrong = io.BytesIO(payload), "HDF5 cannot read it"
    try:
        with h5py.File(file, "r") as held:
            check(held, h5py, set())
        wrong = "nir finds no graph in it"
        made: dict[str, Any] = nir.read(file, type_check=False).to_dict()
        return made
    except Refused:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise Refused(f"{wrong} ({type(error).__name__}: {first[:200]})") from None


def packed(graph: dict[str, Any]) -> bytes:
    """Return a graph as safetensors: its arrays of numbers by place, and all else as JSON in the notes."""
    import numpy as np
    import safetensors.numpy

    arrays: dict[str, Any] = {}

    def taken(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): taken(one) for key, one in value.items()}
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            arrays[str(len(arrays))] = np.array(value, value.dtype.newbyteorder("="), order="C")
            return {ARRAY: str(len(arrays) - 1)}
        if isinstance(value, np.ndarray | list | tuple):
            return [taken(one) for one in (value.tolist() if isinstance(value, np.ndarray) else value)]
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value.item() if isinstance(value, np.generic) else value

    tree = json.dumps(taken(graph))
    return safetensors.numpy.save(arrays, {"graph": tree})


def limit() -> None:
    """Bound this process's memory and time, if the system can; stricter limits of the system stay."""
    try:
        import resource
    except ModuleNotFoundError:
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        with suppress(ValueError, OSError):  # on macOS a process maps more than any allowed limit
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> int:
    """Read a file's bytes from standard input, write its graph to standard output; if refused, say why and return 3."""
    limit()
    try:
        made = packed(opened(sys.stdin.buffer.read()))
    except Refused as error:
        sys.stderr.write(str(error))
        return 3
    except MemoryError:
        sys.stderr.write("it takes more memory than a graph may")
        return 3
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
