"""Files of ``torch.save``, inspected before PyTorch opens them: tensors in plain containers and nothing else.

A few bytes can make PyTorch's restricted loader request any memory: here sizes add up to at most the file's bytes.
"""

from __future__ import annotations

import io
import itertools
import pickletools
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from bntt.io.checkpoint import CheckpointError
from bntt.io.errors import refusing
from bntt.io.files import read_file

SAFE = "2.10"
"""The first PyTorch whose weights-only loader is trusted: pyproject.toml and the reader require it."""
LARGEST = 2 << 30
"""Most bytes of a file: far more than any network here needs."""
MOST_OPERATIONS = 1_000_000
"""Most operations in the pickles of a file; a VGG11 of 50 steps has 60,000."""
MOST_MEMBERS = 100_000
END = 22
"""Bytes of an archive's end record, without a comment: torch.save writes none."""
_KINDS = ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
KNOWN = {
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {kind}Storage" for kind in _KINDS),
}
REFUSED = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
REFUSED |= {"NEXT_BUFFER", "READONLY_BUFFER"}
"""Operations of a pickle that name or make objects in ways that torch.save does not use."""
ZIP, OLD = b"PK\3\4", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Magic bytes of files: since PyTorch 1.6, and before, when the paper's code was written."""
OLD_PICKLES = 5
"""Number of pickles of an older file: a number, a version, the writing machine, the object, its storages' names."""


class PickledError(ValueError):
    """A file that does not hold weights; the message continues a sentence that begins with the file's name."""


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Read the weights of a file of ``torch.save``: a state dict, or a dictionary that has one as ``state_dict``."""
    if TorchVersion(torch.__version__) < SAFE:
        raise CheckpointError(
            f"{path} is not read: the loader of PyTorch {torch.__version__} has known holes, which {SAFE} closed"
        )
    payload = read_file(path, LARGEST, CheckpointError)
    try:
        check_pickled(payload)
    except PickledError as error:
        raise CheckpointError(f"{path} {error}") from None
    with refusing(f"{path} is damaged, or no file of weights", error=CheckpointError):
        found = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    state = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path} holds no state dict, but a {type(found).__name__}")
    for name, value in state.items():
        if wrong := _no_weights(name, value):
            raise CheckpointError(f"{path}: {str(name)[:100]!r} {wrong}")
    if sum(value.numel() * value.element_size() for value in state.values()) > len(payload):
        raise CheckpointError(f"{path} names its tensors more than once: they have more bytes than the file")
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{path}: {name[:100]!r} holds numbers that are not finite")
    return {name: value.detach() for name, value in state.items()}


def _no_weights(name: object, value: object) -> str:
    """Return why an entry does not belong in a state dict; "" for a tensor of numbers that are there."""
    if not isinstance(name, str) or type(value) not in (Tensor, nn.Parameter):
        return f"is a {type(value).__name__}, and not a tensor by name"
    assert isinstance(value, Tensor)
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        return f"is a tensor of another kind ({value.layout}, {value.device})"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"is {list(value.shape)} of fewer numbers than that"
    return ""


def check_pickled(payload: bytes) -> None:
    """Refuse a file with more than tensors in dictionaries, before anything of it is loaded."""
    if payload.startswith(ZIP):
        _check_steps(_pickle_of(payload), pickles=1)
    elif payload.startswith(OLD):
        _check_steps(payload, pickles=OLD_PICKLES)
    else:
        raise PickledError("is no file of torch.save")


def _pickle_of(payload: bytes) -> bytes:
    """Return the pickle of an archive, whose members are inspected by their announced sizes."""
    if not payload[-END:].startswith(b"PK\5\6"):
        raise PickledError("is not whole, or holds more after its end")
    with refusing("is not whole", error=PickledError), zipfile.ZipFile(io.BytesIO(payload)) as archive:
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
            raise PickledError("is not a file of torch.save: it needs one data.pkl, and each member once")
        return archive.read(found[0])


def _check_steps(payload: bytes, pickles: int) -> None:
    """Parse pickles, one after another, without executing their operations."""
    file, left = io.BytesIO(payload), MOST_OPERATIONS
    with refusing("is not whole", error=PickledError):
        for step, value, _ in itertools.chain.from_iterable(pickletools.genops(file) for _ in range(pickles)):
            left -= 1
            if left < 0:
                raise PickledError("has more steps in its pickle than weights need")
            if step.name in REFUSED or (step.name == "GLOBAL" and value not in KNOWN):
                raise PickledError(f"names {str(value or step.name)[:100]!r}, which no weights need: it is not loaded")
