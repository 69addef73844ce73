"""What a network can be written as, by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bntt.deploy import bundle, onnx_graph
from bntt.deploy.bundle import WeightType
from bntt.deploy.description import Description, Pictures
from bntt.deploy.errors import DeployError
from bntt.deploy.from_torch import describe
from bntt.nn.network.classifier import SpikingClassifier
from bntt.registry import Registry

TARGETS: Registry[Any] = Registry(
    "target",
    {"bundle": bundle.write, "onnx": onnx_graph.write, "onnx-step": partial(onnx_graph.write, step=True)},
)
"""``write(description, path, weights)`` of each."""


def export(
    model: SpikingClassifier | Description,
    path: str | Path,
    target: str = "bundle",
    *,
    weights: WeightType = "float32",
    classes: Sequence[str] = (),
    input_shape: Sequence[int] | None = None,
    pictures: Pictures | None = None,
) -> Description:
    """Write a trained network for use elsewhere, and return its description.

    Args:
        model: or its :func:`~bntt.deploy.describe`\\ d form, which has the next three.
        target: "bundle", for :class:`bntt.deploy.Runtime`; "onnx", all steps at once, or "onnx-step", one step whose
            state goes in and out (:func:`bntt.deploy.onnx_graph.build`).
        weights: "float32", "float16", or "int8" with a step for each output channel; ONNX has float32.
        classes, input_shape, pictures: see :func:`~bntt.deploy.describe`.

    Raises:
        DeployError: if the target cannot have the network; the message names the part, and what to do.
        ValueError: on an unknown target.
        OSError: if the file cannot be written; what was there before is then still there.

    >>> import tempfile, bntt
    >>> path = Path(tempfile.mkdtemp()) / "clothes.safetensors"
    >>> export(bntt.models.pretrained(), path, "bundle", weights="int8").num_steps, path.stat().st_size < 300_000
    (8, True)
    """
    write = TARGETS.resolve(target)
    if isinstance(model, Description) and (classes or input_shape is not None or pictures is not None):
        raise DeployError("a description has its classes, input shape and pictures: leave out these arguments")
    made = (
        model
        if isinstance(model, Description)
        else describe(model, classes=classes, input_shape=input_shape, pictures=pictures)
    )
    write(made, Path(path), weights)
    return made
