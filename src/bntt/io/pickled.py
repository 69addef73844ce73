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
CODE = ("code/", "constants.pkl")
"""Members of TorchScript."""
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


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Read the weights of a file of ``torch.save``: a state dict, or a dictionary that has one as ``state_dict``."""
    if TorchVersion(torch.__version__) < SAFE:
        raise CheckpointError(f"{path} is not read: PyTorch {torch.__version__} has holes that {SAFE} closed")
    payload = read_file(path, LARGEST, CheckpointError)
    with refusing(f"{path} is damaged, or no file of weights", error=CheckpointError):
        check_pickled(payload)
        found = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        state = found.get("state_dict", found) if isinstance(found, dict) else None
        if not isinstance(state, dict) or not state:
            raise ValueError(f"holds no state dict, but a {type(found).__name__}")
        left = len(payload)
        for name, value in state.items():
            left -= value.numel() * value.element_size() if isinstance(value, Tensor) else 0
            if wrong := _no_weights(name, value, left):
                raise ValueError(f"{str(name)[:100]!r} {wrong}")
        return {name: value.detach() for name, value in state.items()}


def _no_weights(name: object, value: object, left: int) -> str:
    """Return why an entry does not belong in a state dict; "" for a tensor of finite numbers that are there."""
    if not isinstance(name, str) or not isinstance(value, Tensor) or type(value) not in (Tensor, nn.Parameter):
        return f"is a {type(value).__name__}, and not a tensor by name"
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        return f"is a tensor of another kind ({value.layout}, {value.device})"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"is {list(value.shape)} of fewer numbers than that"
    if left < 0:
        return "is named more than once: the tensors have more bytes than the file"
    return "holds numbers that are not finite" if value.is_floating_point() and not value.isfinite().all() else ""


def check_pickled(payload: bytes) -> None:
    """Refuse a file with more than tensors in dictionaries, before anything of it is loaded."""
    if payload.startswith(ZIP):
        _check_steps(_pickle_of(payload), pickles=1)
    elif payload.startswith(OLD):
        _check_steps(payload, pickles=OLD_PICKLES)
    else:
        raise ValueError("is no file of torch.save")


def _pickle_of(payload: bytes) -> bytes:
    """Return the pickle of an archive, whose members are inspected by their announced sizes."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        pickles = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        faults = {
            "holds more after its end": not payload[-END:].startswith(b"PK\5\6"),
            f"holds {len(members):,} members, more than weights need": len(members) > MOST_MEMBERS,
            "holds a packed member, which torch.save does not write": any(one.compress_type for one in members),
            "announces more bytes than it has": sum(max(m.file_size, m.compress_size) for m in members) > len(payload),
            "holds code: TorchScript, and not weights": any(f"/{part}" in name for name in names for part in CODE),
            "needs one data.pkl, and each member once": len(pickles) != 1 or len(set(names)) != len(names),
        }
        for fault, found in faults.items():
            if found:
                raise ValueError(fault)
        return archive.read(pickles[0])


def _check_steps(payload: bytes, pickles: int) -> None:
    """Parse pickles, one after another, without executing their operations."""
    file, left = io.BytesIO(payload), MOST_OPERATIONS
    for step, value, _ in itertools.chain.from_iterable(pickletools.genops(file) for _ in range(pickles)):
        left -= 1
        if left < 0:
            raise ValueError("has more steps in its pickle than weights need")
        if step.name in REFUSED or (step.name == "GLOBAL" and value not in KNOWN):
            raise ValueError(f"names {str(value or step.name)[:100]!r}, which no weights need: it is not loaded")
