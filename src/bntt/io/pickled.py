"""Files of ``torch.save``, looked at before PyTorch opens them: weights in plain containers and nothing else.

PyTorch's restricted loader runs no code, yet knows more than weights need, and a few bytes may ask it for any amount of
memory. So a file is read here as what it is, an archive of stored members or a row of pickles: its sizes add up to no
more than its bytes, its pickles name nothing but tensors, and no step of theirs is taken.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator

LARGEST = 2 << 30
"""Bytes of a file: far more than any of the networks here."""
MOST_OPERATIONS = 1_000_000
"""Of the pickles of a file; a VGG11 of 50 steps has 60,000."""
MOST_MEMBERS = 100_000
END = 22
"""Bytes of what an archive ends with, where no comment follows: torch.save writes none."""
_KINDS = ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
KNOWN = {
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {kind}Storage" for kind in _KINDS),
}
"""All that a file of weights has to name."""
REFUSED = {
    "STACK_GLOBAL",
    "INST",
    "OBJ",
    "NEWOBJ",
    "NEWOBJ_EX",
    "EXT1",
    "EXT2",
    "EXT4",
    "NEXT_BUFFER",
    "READONLY_BUFFER",
}
"""Steps of a pickle that name or make things in ways that torch.save does not write."""
ZIP, OLD = b"PK\3\4", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""What files begin with: since PyTorch 1.6, and before, when the paper's code was written."""
OLD_PICKLES = 5
"""Of an older file: a number, a version, the writing machine, the object, the names of its storages."""


class PickledError(ValueError):
    """A file that is no file of weights; the message goes on after the file's name."""


def check_pickled(payload: bytes) -> None:
    """Refuse what holds more than tensors in dictionaries, before anything of it is loaded.

    Raises:
        PickledError: saying what it holds, or that it is not whole.

    >>> import torch
    >>> file = io.BytesIO()
    >>> torch.save({"weight": torch.ones(2)}, file)
    >>> check_pickled(file.getvalue())
    >>> check_pickled(b"cposix\\nsystem\\n(S'true'\\ntR.")
    Traceback (most recent call last):
    bntt.io.pickled.PickledError: is no file of torch.save
    """
    if payload.startswith(ZIP):
        _check_steps(_pickle_of(payload), pickles=1)
    elif payload.startswith(OLD):
        _check_steps(payload, pickles=OLD_PICKLES)
    else:
        raise PickledError("is no file of torch.save")


def _pickle_of(payload: bytes) -> bytes:
    """The pickle of an archive, whose members are looked at by their announced sizes."""
    if not payload[-END:].startswith(b"PK\5\6"):
        raise PickledError("is not whole, or holds more after its end")
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise PickledError(f"holds {len(members):,} members, more than weights need")
            if packed := [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]:
                raise PickledError(f"holds a packed member, {packed[0]!r}, which torch.save does not write")
            if sum(max(member.file_size, member.compress_size) for member in members) > len(payload):
                raise PickledError("announces more bytes than it has")
            names = [member.filename for member in members]
            if code := [name for name in names if "/code/" in name or name.endswith("/constants.pkl")]:
                raise PickledError(f"holds code, {code[0]!r}: TorchScript, and not weights")
            found = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
            if len(found) != 1 or len(set(names)) != len(names):
                raise PickledError("is no file of torch.save: it has not one data.pkl, or names a member twice")
            return archive.read(found[0])
    except PickledError:
        raise
    except Exception as error:  # of hostile bytes, whatever they come to in the standard library
        raise PickledError(f"is not whole ({error or type(error).__name__})") from None


def _check_steps(payload: bytes, pickles: int) -> None:
    """Read pickles as text, one after another, and take none of their steps."""
    file, left = io.BytesIO(payload), MOST_OPERATIONS
    for _ in range(pickles):
        for name, value in _steps(file):
            left -= 1
            if left < 0:
                raise PickledError("has more steps in its pickle than weights need")
            if name in REFUSED or (name == "GLOBAL" and value not in KNOWN):
                raise PickledError(f"names {str(value or name)[:100]!r}, which no weights need: it is not loaded")


def _steps(file: io.BytesIO) -> Iterator[tuple[str, object]]:
    try:
        for step, value, _ in pickletools.genops(file):
            yield step.name, value
    except Exception as error:  # as above
        raise PickledError(f"is not whole ({error or type(error).__name__})") from None
