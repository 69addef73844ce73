"""The bundle: a description in one sealed file of safetensors, which a machine without PyTorch reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from bntt.deploy.description import Array, BundleError, DeployError, Description, require, to_tree, typed
from bntt.io.files import Seal, parse_json, write_whole

SEAL = Seal("bundle", "bundle 1", BundleError)
WeightType = Literal["float32", "float16", "int8"]
WEIGHT_TYPES: tuple[WeightType, ...] = get_args(WeightType)
WEIGHTS, STEP = ".weights.values", ".step"
"""Endings of the names of weights, and of their step sizes by output channel."""


def write(description: Description, path: Path, weights: WeightType = "float32") -> None:
    """Write a bundle whole or not at all.

    With float32, a float32 network loses nothing, and scales and shifts are float64, so that a runtime in float64
    has the library's numbers. With float16 and int8, scales and shifts are float32; int8 is symmetric,
    ``round(w / step)`` with a step size for each output channel.
    """
    require(weights in WEIGHT_TYPES, f"weights must be one of {', '.join(WEIGHT_TYPES)}, got {weights!r}")
    arrays: dict[str, Array] = {}
    tree = to_tree(description, arrays)
    held: dict[str, Array] = {}
    for name, values in arrays.items():
        kind = weights if name.endswith(WEIGHTS) else "float32"
        if kind == "int8":
            held[name], held[name + STEP] = quantised(values)
        elif values.dtype == bool or (weights == "float32" and not name.endswith(WEIGHTS)):
            held[name] = values
        else:
            with np.errstate(over="ignore"):
                held[name] = values.astype(kind)
    for name, values in held.items():
        beyond = f"{name.removesuffix(STEP)} has numbers beyond the range of {values.dtype}"
        require(np.isfinite(values).all(), f"{beyond}: write the bundle with weights='float32'")
    notes = SEAL.notes(description=json.dumps(tree, allow_nan=False))
    laid = {name: np.ascontiguousarray(values) for name, values in held.items()}  # safetensors checks no memory order
    write_whole(path, SEAL.sealed(safetensors.numpy.save(laid, metadata=notes)))


def read(path: Path) -> Description:
    """Read and verify a bundle. Weights come as float32, all other numbers as float64."""
    payload, notes = SEAL.opened(path)
    try:
        held = safetensors.numpy.load(payload)
        tree = parse_json(notes["description"])
    except (SafetensorError, KeyError, ValueError, TypeError) as error:  # the checksum is right: it was written so
        raise BundleError(f"{path} holds no description ({error or type(error).__name__})") from None
    try:
        arrays = {name: _widened(name, held) for name in held if not name.endswith(STEP)}
        made: Description = typed(Description, tree, arrays)
        return made
    except DeployError as error:
        raise BundleError(f"{path} describes no network: {error}") from None


def quantised(weights: Array) -> tuple[Array, Array]:
    """Return weights as int8 from -127 to 127, and the step size of each output channel, ``[Cout]``."""
    largest = np.abs(weights).reshape(len(weights), -1).max(1)
    with np.errstate(over="ignore"):
        step = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    rows = step.astype(np.float64).reshape(-1, *[1] * (weights.ndim - 1))
    return np.clip(np.rint(weights / rows), -127, 127).astype(np.int8), step


def _widened(name: str, held: dict[str, Array]) -> Array:
    values = held[name]
    if values.dtype == bool:
        return values
    require(values.dtype.kind in "fi", f"{name} holds {values.dtype}, which is no type of a bundle's numbers")
    if not name.endswith(WEIGHTS):
        return values.astype(np.float64)
    if (step := held.get(name + STEP)) is None:
        return values.astype(np.float32)
    require(step.shape == values.shape[:1], f"{name} has steps {list(step.shape)} for {list(values.shape)}")
    wide: Array = values.astype(np.float32) * step.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    return wide
