"""Small networks of every kind that can leave PyTorch, with samples, and what of the library they are compared with."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnxruntime
import torch

import bntt
from bntt.deploy import Description, onnx_graph
from bntt.models import MODELS
from bntt.nn import ENCODERS, BlockState, SpikingClassifier
from tests.contracts.test_models import SHAPES

STEPS, BATCH = 4, 3


def steps_of(name: str, fire: str) -> int:
    """Return so many steps that the input reaches the readout: neurons that fire before they integrate delay it."""
    return STEPS if fire == "after" else 30 if "resnet" in name else 14


LEAKS = {
    "fixed": {},
    "layer": {"learn_leak": "layer"},
    "plif": {"learn_leak": "channel", "decay_input": True},
    "decay": {"decay_input": True},
}


def classifier(name: str, coding: str, seed: int = 0, **options: Any) -> tuple[SpikingClassifier, np.ndarray, tuple]:
    """A model whose parameters are not where they start, its samples, and the shape of one step of one."""
    own, shape = SHAPES[name]
    rng = torch.Generator().manual_seed(seed)
    if name == "mlp":
        shape = (5,) if coding in ("sequence", "frames") else (1, 2, 3)
        own = {**own, "in_features": int(np.prod(shape))}
    steps = steps_of(name, options.get("fire", "after"))
    network = MODELS[name](num_steps=steps, **own, **options)
    with torch.no_grad():
        for path, values in (*network.named_parameters(), *network.named_buffers()):
            if "running_var" in path:
                values.mul_(0.3 + torch.rand(values.shape, generator=rng))
            elif "norm." in path or "leak_logit" in path:
                values.add_(0.5 * torch.randn(values.shape, generator=rng))
    build: Any = ENCODERS[coding]
    scales = {"mean": [0.4] * shape[0], "std": [0.3] * shape[0]} if build.takes("mean") and len(shape) == 3 else {}
    encoder = build(steps, **scales)
    timed = coding in ("sequence", "frames")
    samples = torch.rand(BATCH, *(steps,) * timed, *shape, generator=rng)
    return SpikingClassifier(encoder, network).eval(), samples.numpy(), shape


def membranes_of(state: Any) -> list[np.ndarray]:
    """The membranes of a library's state, in the order of the layers, channels last."""
    if isinstance(state, BlockState):
        return [] if state.membrane is None else [last(state.membrane)]
    return [one for part in state for one in membranes_of(part)]


def last(membrane: torch.Tensor) -> np.ndarray:
    values = membrane.detach().numpy()
    return values[:, None, None] if values.ndim == 2 else np.moveaxis(values, 1, -1)


@torch.no_grad()
def library(model: SpikingClassifier, samples: np.ndarray, **noise: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits after every step and membranes after the last, in float64 and plain PyTorch."""
    exact = copy.deepcopy(model).double()
    exact.network.compute = bntt.Compute("reference")
    steps, index = model.encoder.num_steps, torch.from_numpy(noise.pop("index"))
    logits, state = exact.advance(torch.from_numpy(samples).double(), steps=steps, index=index, **noise)
    return logits.numpy(), membranes_of(state.blocks)


def session(made: Description, **options: Any) -> onnxruntime.InferenceSession:
    """ONNX Runtime with a network's graph."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(onnx_graph.build(made, **options).SerializeToString(), settings)
