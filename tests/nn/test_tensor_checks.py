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
    array, values = np.zeros(shape, np.float32), torch.zeros(*shape).tolist()
    for given, came in ((array, "ndarray"), (values, "list|float"), (None, "NoneType")):
        with pytest.raises(TypeError, match=came):
            call(given)


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
    for wrong, came in ((NET, "SpikingNetwork"), (nn.Identity(), "Identity"), ([], "list")):
        with pytest.raises(TypeError, match=came):
            function(wrong, **others)
