"""safetensors of tensors that share memory, as tied weights do: each is kept once and read under all of its names."""

from __future__ import annotations

import json
from collections.abc import Mapping

import safetensors.torch
from torch import Tensor

TIED = "tied"
"""The note of names that are another tensor's."""


def pack(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> bytes:
    """Tensors and notes as the bytes of a safetensors file.

    >>> import torch
    >>> weight = torch.ones(2)
    >>> sorted(unpack(pack({"a": weight, "b": weight}, {})))
    ['a', 'b']
    """
    kept, tied = untied(tensors)
    return safetensors.torch.save(kept, metadata={**notes, **({TIED: json.dumps(tied)} if tied else {})})


def unpack(payload: bytes) -> dict[str, Tensor]:
    """The tensors of such bytes.

    Raises:
        Exception: of bytes that are none, whatever safetensors makes of them.
    """
    size = int.from_bytes(payload[:8], "little")
    notes = json.loads(payload[8 : 8 + size]).get("__metadata__", {})
    return tied_again(safetensors.torch.load(payload), json.loads(notes.get(TIED, "{}")))


def untied(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors that share no memory, and the names of those that are another one, each with that one's name.

    A tensor that shares only a part of another's memory is copied.

    >>> import torch
    >>> weight = torch.ones(2)
    >>> untied({"a": weight, "b": weight, "c": weight[:1]})
    ({'a': tensor([1., 1.]), 'c': tensor([1.])}, {'b': 'a'})
    """
    kept, tied = dict[str, Tensor](), dict[str, str]()
    views, memory = dict[object, str](), set[object]()
    for name, value in tensors.items():
        value = value.detach()
        place = (value.device, value.untyped_storage().data_ptr())
        view = (place, value.dtype, value.storage_offset(), value.shape, value.stride())
        if value.numel() and view in views:
            tied[name] = views[view]
            continue
        kept[name] = value.contiguous() if place not in memory else value.clone().contiguous()
        views[view] = name
        memory.add(place)
    return kept, tied


def tied_again(tensors: dict[str, Tensor], tied: Mapping[str, str]) -> dict[str, Tensor]:
    """The same tensors under all of their names.

    Raises:
        ValueError: if a name stands for a tensor that is not there, or for another than its own.

    >>> import torch
    >>> sorted(tied_again({"a": torch.ones(2)}, {"b": "a"}))
    ['a', 'b']
    """
    for name, of in tied.items():
        if of not in tensors or name in tensors:
            raise ValueError(f"{name!r} cannot be the tensor {of!r}")
    return tensors | {name: tensors[of] for name, of in tied.items()}
