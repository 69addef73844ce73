"""What a network can be written as, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from bntt.deploy import bundle, onnx_graph
from bntt.deploy.bundle import WeightType
from bntt.deploy.constant_in_time import choose_constant
from bntt.deploy.description import Description, Pictures
from bntt.deploy.errors import DeployError
from bntt.deploy.from_torch import describe
from bntt.deploy.nir import graph
from bntt.deploy.tree import check_readable
from bntt.nn.network.classifier import SpikingClassifier
from bntt.registry import Registry

TARGETS: Registry[Any] = Registry(
    "target",
    {
        "bundle": bundle.write,
        "onnx": onnx_graph.write,
        "onnx-step": partial(onnx_graph.write, step=True),
        "nir": graph.write,
    },
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
    lossy: Literal["constant"] | None = None,
    validation: Iterable[Any] | None = None,
) -> Description:
    """Write a trained network in a format for use elsewhere, and return its description.

    Args:
        model: the classifier; or its description by :func:`~bntt.deploy.describe`, which has classes, input shape and
            pictures already: leave these three out.
        path: of the file to write.
        target: "bundle", for :class:`bntt.deploy.Runtime`; "onnx", all steps at once, or "onnx-step", one step whose
            state goes in and out (:func:`bntt.deploy.onnx_graph.build`); "nir", for :func:`~bntt.deploy.from_nir` and,
            where nothing changes over time, for others (:mod:`bntt.deploy.nir.graph`).
        weights: "float32", "float16", or "int8" with a step for each output channel; ONNX and NIR have float32.
        classes, input_shape, pictures: see :func:`~bntt.deploy.describe`.
        lossy: "constant" writes another network, which others can read: the one of
            :func:`~bntt.deploy.choose_constant`.
        validation: what that is chosen on: batches of samples and labels, read several times.

    Returns:
        The description, with its weights as they were before any rounding; :class:`~bntt.deploy.Runtime` of the file
        has them as written.

    Raises:
        DeployError: if the target cannot have the network; the message names the part, and what to do. Or if a value of
            the description is of a type that no reader takes.
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
    if lossy is not None:
        if lossy != "constant" or validation is None:
            raise DeployError(
                f"lossy={lossy!r}: it is 'constant', chosen on validation=, batches of samples and labels"
            )
        made = choose_constant(made, validation).description
    elif validation is not None:
        raise DeployError("validation samples choose what is lossy: lossy='constant'")
    check_readable(made)
    write(made, Path(path), weights)
    return made
