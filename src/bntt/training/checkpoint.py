"""Checkpoints: safetensors, written whole or not at all. No code can hide in one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn, optim

FORMAT = "1"
_MODEL, _MOMENTUM = "model.", "momentum."


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or does not belong to this model."""


def save_checkpoint(path: Path, model: nn.Module, optimizer: optim.SGD, notes: Mapping[str, str]) -> None:
    """Write model and momentum to ``path``: a temporary file beside it, synced to disk, then renamed over it.

    A kill at any moment leaves the old file or the new one. ``notes`` are strings kept with the tensors.
    """
    tensors = {_MODEL + name: value.contiguous() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        buffer = optimizer.state[parameter].get("momentum_buffer") if parameter in optimizer.state else None
        if buffer is not None:
            tensors[_MOMENTUM + name] = buffer.contiguous()
    count = sum(name.startswith(_MOMENTUM) for name in tensors)
    payload = safetensors.torch.save(tensors, metadata={**notes, "format": FORMAT, "momentum": str(count)})
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: optim.SGD | None = None, needs: Sequence[str] = ()
) -> dict[str, str]:
    """Read ``path`` into the model, and the momentum into the optimizer if one is given; returns the notes.

    Raises:
        CheckpointError: if the file is missing or damaged, of another format, of another model (the first differing
            names and shapes are listed), holds numbers that are not finite, or lacks a note or a momentum that is
            asked for. The model is then unchanged.
    """
    tensors, notes = _read(path)
    if missing := [note for note in needs if note not in notes]:
        raise CheckpointError(f"{path} has no note of {', '.join(missing)}")
    state = {name.removeprefix(_MODEL): value for name, value in tensors.items() if name.startswith(_MODEL)}
    _check_same(path, state, model.state_dict())
    momentum = {name.removeprefix(_MOMENTUM): value for name, value in tensors.items() if name.startswith(_MOMENTUM)}
    if optimizer is not None:
        parameters = dict(model.named_parameters())
        held = {name: parameters[name] for name in momentum if name in parameters}  # none has one without a gradient
        _check_same(path, momentum, held, what="momentum of ")
        if len(momentum) != int(notes.get("momentum", -1)):
            raise CheckpointError(f"{path} holds {len(momentum)} momenta, its notes say {notes.get('momentum')}")
    model.load_state_dict(state)
    if optimizer is not None:
        optimizer.state.clear()
        for name, value in momentum.items():
            parameter = parameters[name]
            optimizer.state[parameter]["momentum_buffer"] = value.to(parameter.device)
    return notes


def read_notes(path: Path) -> dict[str, str]:
    """The notes of a checkpoint alone.

    Raises:
        CheckpointError: if the file is missing or damaged, or of another format.
    """
    return _read(path, tensors=False)[1]


def _read(path: Path, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            if notes.get("format") != FORMAT:
                raise CheckpointError(f"{path} has format {notes.get('format')}, this version reads {FORMAT}")
            names = file.keys() if tensors else []
            return {name: file.get_tensor(name) for name in names}, notes
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint: {error}") from None


def _check_same(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str = "") -> None:
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is not in the model" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        have, want = found[name], expected[name]
        if have.shape != want.shape or have.dtype != want.dtype:
            wrong.append(f"{name} is {have.dtype} {list(have.shape)}, the model has {want.dtype} {list(want.shape)}")
        elif not torch.isfinite(have).all():
            wrong.append(f"{name} holds numbers that are not finite")
        elif name.endswith("running_var") and (have < 0).any():
            wrong.append(f"{name} holds a negative variance")
    if wrong:
        listed = "; ".join(what + line for line in sorted(wrong)[:5])
        raise CheckpointError(f"{path} does not fit this model ({len(wrong)} differences): {listed}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
