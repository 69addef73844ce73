"""The formats that a network can be written in, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from bntt.deploy import bundle, onnx_graph
from bntt.deploy.bundle import WeightType
from bntt.deploy.constant_in_time import choose_constant
from bntt.deploy.description import Description, Pictures, require, typed
from bntt.deploy.from_torch import describe
from bntt.deploy.nir import graph
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
        path: the file to write.
        target: "bundle", for :class:`bntt.deploy.Runtime`; "onnx", all steps at once, or "onnx-step", one step with the
            state as input and output (:func:`bntt.deploy.onnx_graph.build`); "nir", for :func:`~bntt.deploy.from_nir`
            and, if nothing changes over time, for other frameworks (:mod:`bntt.deploy.nir.graph`).
        weights: "float32", "float16", or "int8" with a step size for each output channel; ONNX and NIR have float32.
        classes, input_shape, pictures: see :func:`~bntt.deploy.describe`.
        lossy: "constant" writes a different network, one that other frameworks can read: that of
            :func:`~bntt.deploy.choose_constant`.
        validation: batches of samples and labels on which that network is chosen; they are read several times.

    Returns:
        The description, with its weights before any rounding; :class:`~bntt.deploy.Runtime` reads them as written.

    Raises:
        DeployError: if the target cannot represent the network (the message names the part, and what to do), or if a
            value of the description is of a type that no reader takes.
        ValueError: on an unknown target.
        OSError: if the file cannot be written; a file that was there before is kept.

    >>> import tempfile, bntt
    >>> path = Path(tempfile.mkdtemp()) / "clothes.safetensors"
    >>> export(bntt.models.pretrained(), path, "bundle", weights="int8").num_steps, path.stat().st_size < 300_000
    (8, True)
    """
    write = TARGETS.resolve(target)
    if not isinstance(model, Description):
        made = describe(model, classes=classes, input_shape=input_shape, pictures=pictures)
    else:
        given = classes or input_shape is not None or pictures is not None
        require(not given, "a description has its classes, input shape and pictures: leave out these arguments")
        typed(Description, made := model)  # its provenance may have changed
    fits = (lossy, validation is None) in ((None, True), ("constant", False))
    require(fits, f"lossy={lossy!r}: lossy='constant' and validation=, batches of samples and labels, go together")
    if validation is not None:
        made = choose_constant(made, validation).description
    write(made, Path(path), weights)
    return made
