"""Checkpoints: tensors with facts in the header, sealed (:mod:`bntt.io.files`); cells of work that can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from bntt.io.errors import refusing
from bntt.io.files import Seal, digest_of_bytes, read_json, write_json, write_whole

Parsed = TypeVar("Parsed")
TIED = "tied"
"""Key of the header's note on names that refer to another name's tensor."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or does not belong to this model."""


SEAL = Seal("checkpoint", "2", CheckpointError)


class Checkpoint(NamedTuple):
    """The content of one file."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    """Values that JSON can hold."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts to ``path``, durably and whole; the file is read again and verified before it counts."""
    notes = SEAL.notes(facts=json.dumps(facts, allow_nan=False))
    write_whole(path, SEAL.sealed(pack(tensors, notes)))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint."""
    payload, header = SEAL.opened(path)
    with refusing(f"{path} holds no tensors that can be read", error=CheckpointError):  # its header may be forged
        tensors = unpack(payload)
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{path}: {bad[0]} holds numbers that are not finite")
    return Checkpoint(tensors, _facts_of(path, header))


def read_facts(path: Path) -> dict[str, Any]:
    """Read only the facts of a checkpoint; the whole file is verified."""
    return _facts_of(path, SEAL.opened(path)[1])


def load_checkpoint(path: str | Path, model: nn.Module, needs: Sequence[str] = ()) -> dict[str, Any]:
    """Load the weights of a checkpoint into a model, those of the moving average if it has one.

    Packed evidence keeps weights in float16; they become float32.

    Args:
        path: a file that a run wrote, ``runs/NAME/checkpoints/best.safetensors``.
        model: the model of that run, on any device, with its constants (leak, threshold, ε): weights do not say them.
        needs: the facts that the file must have.

    Returns:
        The facts of the checkpoint: its recipe, epoch, classes.

    Raises:
        CheckpointError: if the file is missing, damaged, of another format or of another model (the message lists the
            first differing names and shapes), or lacks a fact that is needed. The model is then unchanged.

    >>> load_checkpoint(Path("runs/none/best.safetensors"), nn.Linear(1, 1))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    bntt.io.checkpoint.CheckpointError: ...
    """
    path = Path(path)
    tensors, facts = read_checkpoint(path)
    if missing := [name for name in needs if name not in facts]:
        raise CheckpointError(f"{path} does not say {', '.join(missing)}")
    kind = "average." if any(name.startswith("average.") for name in tensors) else "model."
    state = {name.removeprefix(kind): value for name, value in tensors.items() if name.startswith(kind)}
    if facts.get("rounded") == "float16":
        state = widened(state)
    if wrong := misfits(state, model.state_dict()):
        listed = "; ".join(wrong[:5])
        raise CheckpointError(f"{path} does not fit this model ({len(wrong)} differences): {listed}")
    model.load_state_dict(state)
    return facts


def widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in which float16 is float32."""
    return {name: value.float() if value.dtype == torch.float16 else value for name, value in tensors.items()}


def misfits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """List how tensors differ from those of a model, or have values that no model can have; in the order of names."""
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is not in the model" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        have, want = found[name], expected[name]
        if have.shape != want.shape or have.dtype != want.dtype:
            wrong.append(f"{name} is {have.dtype} {list(have.shape)}, the model has {want.dtype} {list(want.shape)}")
        elif name.endswith("running_var") and (have < 0).any():
            wrong.append(f"{name} holds a negative variance")
    return sorted(wrong)


def _facts_of(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    with refusing(f"{path} does not say its facts", error=CheckpointError):
        return {**json.loads(header["facts"])}


def pack(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> bytes:
    """Put tensors and notes into the bytes of a safetensors file; tied tensors are kept once."""
    own, tied = untied(tensors)
    return safetensors.torch.save(own, metadata={**notes, **({TIED: json.dumps(tied)} if tied else {})})


def unpack(payload: bytes) -> dict[str, Tensor]:
    """Read the tensors of packed bytes under all of their names."""
    size = int.from_bytes(payload[:8], "little")
    tied = json.loads(json.loads(payload[8 : 8 + size]).get("__metadata__", {}).get(TIED, "{}"))
    tensors = safetensors.torch.load(payload)
    for name, of in tied.items():
        if of not in tensors or name in tensors:
            raise ValueError(f"{name!r} cannot be the tensor {of!r}")
    return tensors | {name: tensors[of] for name, of in tied.items()}


def state_digest(model: nn.Module) -> str:
    """Return the SHA-256 of a model's parameters and buffers."""
    return digest_of_bytes(pack(model.state_dict(), {}))


def untied(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Separate tensors that share no memory from names that refer to another tensor; partial overlaps are copied."""
    own, tied = dict[str, Tensor](), dict[str, str]()
    views, memory = dict[object, str](), set[object]()
    for name, value in tensors.items():
        value = value.detach()
        place = (value.device, value.untyped_storage().data_ptr())
        view = (place, value.dtype, value.storage_offset(), value.shape, value.stride())
        if value.numel() and view in views:
            tied[name] = views[view]
            continue
        own[name] = value.contiguous() if place not in memory else value.clone().contiguous()
        views[view] = name
        memory.add(place)
    return own, tied


class OtherSettingsError(ValueError):
    """A cell that was computed with other settings than those asked for."""


def write_cell(path: Path, settings: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Save a part of a long computation, so that an interrupted one can resume, with the settings it was made with."""
    write_json(path, {"settings": settings, **values})


def read_cell(path: Path, settings: Mapping[str, Any], parse: Callable[[Any], Parsed]) -> Parsed | None:
    """Read a cell; None if there is none."""
    wanted = json.loads(json.dumps(settings))
    if not path.exists():
        return None
    with refusing(f"{path} is damaged", remedy="delete it, and it is computed again", error=CheckpointError):
        values = read_json(path)
        had = values.pop("settings")
        different = sorted(key for key in had | wanted if had.get(key) != wanted.get(key))
        cell = parse(values)
    if different:
        how = f"({', '.join(different)} differ): delete it, or give another folder as --out"
        raise OtherSettingsError(f"{path} was computed with other settings {how}")
    return cell
