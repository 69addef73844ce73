"""What is no tensor, no classifier, no loader: a sentence at every door, whatever stands behind it."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import bntt
from bntt.models import mlp
from bntt.nn import (
    BNTT,
    LIF,
    DirectEncoder,
    FoldedLIF,
    FoldedNeuron,
    FrameEncoder,
    LayerNorm,
    PoissonEncoder,
    Readout,
    SequenceEncoder,
    SpikingBlock,
    SpikingClassifier,
)
from tests.rows import each_row

pytestmark = pytest.mark.usefixtures("no_hook")
NET = mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=4)
MODEL = SpikingClassifier(PoissonEncoder(4), NET)
IMAGES, LABELS = torch.full((4, 1, 2, 2), 0.5), torch.zeros(4, dtype=torch.int64)
DOORS = {
    "a network": (NET, (4, 2, 4)),
    "advance": (NET.advance, (4, 2, 4)),
    "trace": (NET.trace, (4, 2, 4)),
    "a classifier": (MODEL, IMAGES.shape),
    "its advance": (MODEL.advance, IMAGES.shape),
    "its trace": (MODEL.trace, IMAGES.shape),
    "Poisson": (PoissonEncoder(4), IMAGES.shape),
    "direct": (DirectEncoder(4), IMAGES.shape),
    "frames": (FrameEncoder(4), (2, 4, 3)),
    "sequences": (SequenceEncoder(4), (2, 4, 3)),
    "a norm": (BNTT(8, 4), (4, 2, 8)),
    "layer norm": (LayerNorm(8), (4, 2, 8)),
    "neurons": (LIF(), (4, 2, 8)),
    "folded neurons": (FoldedLIF(FoldedNeuron(leak=0.5, threshold=1.0)), (4, 2, 8)),
    "a block": (SpikingBlock(nn.Linear(4, 8), BNTT(8, 4), LIF()), (4, 2, 4)),
    "a readout": (Readout(nn.Linear(8, 3)), (4, 2, 8)),
    "predict": (lambda x: bntt.analysis.predict(MODEL, x, ("a", "b", "c")), IMAGES.shape),
}


@each_row("door", DOORS)
def test_a_numpy_array_is_no_tensor(door):
    call, shape = DOORS[door]
    call(torch.full(shape, 0.5))
    with pytest.raises(TypeError, match=r"torch\.Tensor, got ndarray: torch\.from_numpy\(...\) converts"):
        call(np.zeros(shape, np.float32))
    with pytest.raises(TypeError, match=r"torch\.Tensor, got (list: torch\.as_tensor|ndarray|float: torch\.as_tensor)"):
        call(torch.zeros(*shape).tolist() if door not in ("trace",) else [np.zeros(shape)])
    said = "'NoneType' object is not iterable" if door == "trace" else r"torch\.Tensor, got NoneType$"
    with pytest.raises(TypeError, match=said):
        call(None)


@each_row("index", [np.arange(4), [0, 1, 2, 3]])
def test_an_index_is_a_tensor(index):
    for call in (MODEL, MODEL.trace, MODEL.advance, MODEL.encoder):
        with pytest.raises(TypeError, match=r"takes index as a torch\.Tensor, got (ndarray|list): torch"):
            call(IMAGES, index=index)


def test_a_classifier_is_made_of_an_encoder_and_a_network():
    for encoder, network, came in (
        (NET, PoissonEncoder(4), "SpikingNetwork and PoissonEncoder"),
        (nn.ReLU(), NET, "ReLU"),
    ):
        with pytest.raises(TypeError, match=f"an Encoder and a SpikingNetwork, in this order, got {came}"):
            SpikingClassifier(encoder, network)
    with pytest.raises(TypeError, match="got PoissonEncoder and Identity"):
        SpikingClassifier(PoissonEncoder(4), nn.Identity())


def takers():
    """Every public function that takes a classifier, by its name."""
    for room in (bntt.analysis, bntt.training):
        for name, value in ((name, getattr(room, name)) for name in dir(room)):
            function = inspect.unwrap(value) if callable(value) else value
            if not inspect.isfunction(function):
                continue
            kinds = {p.name: str(p.annotation) for p in inspect.signature(function).parameters.values()}
            if "SpikingClassifier" in kinds.get("model", ""):
                yield pytest.param(function, id=name)


@each_row("function", [*takers()])
def test_a_network_is_no_classifier(function):
    others = {
        p.name: None
        for p in inspect.signature(function).parameters.values()
        if p.default is inspect.Parameter.empty and p.name not in ("model", "epochs")
    }
    others |= {"epochs": 1} if function.__name__ == "updates" else {}
    for wrong, came in ((NET, "SpikingNetwork: put an encoder before it"), (nn.Identity(), "Identity$"), ([], "list$")):
        with pytest.raises(TypeError, match=rf"a SpikingClassifier, got {came}"):
            function(wrong, **others)
