"""Hooks and methods on a classifier or its network, which analyses of single steps would bypass: refused."""

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from bntt.analysis import evaluate, neuron_trace, predict
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.activity.spike_activity import class_activity, untrained_activity
from bntt.analysis.stability.gradients import gradient_norms
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier


@pytest.fixture
def model():
    return SpikingClassifier(PoissonEncoder(4), mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, seed=1))


@pytest.fixture
def images(rng):
    return torch.rand(9, 1, 4, 4, generator=rng)


LABELS = torch.arange(9) % 3


class Negated(SpikingClassifier):
    def __call__(self, *args, **call):
        return -super().__call__(*args, **call)


BYPASSED = {
    "the classifier has a hook": lambda model: model.register_forward_hook(lambda model, args, out: -out),
    "network has a hook": lambda model: model.network.register_forward_pre_hook(
        lambda net, args: (-args[0], *args[1:])
    ),
    "every module has a hook": lambda model: register_module_forward_hook(
        lambda module, args, out: -out if module is model else None
    ),
    "the classifier has a method of its own, __call__": lambda model: setattr(model, "__class__", Negated),
    "network has a method of its own, forward": lambda model: setattr(model.network, "forward", lambda x, **call: x),
}
"""What makes a whole call say something else than the answers after single steps."""


@pytest.mark.parametrize("said", BYPASSED)
def test_what_only_a_whole_call_would_do_is_refused(said, model, images):
    batches = [(images, LABELS)]
    asks = [
        lambda: evaluate(model, batches, draws=1),
        lambda: predict(model, images[:1], ("a", "b", "c")),
        lambda: neuron_trace(model, images[:1], "fc1"),
        lambda: gradient_norms(model, images, LABELS),
        lambda: untrained_activity(model, images),
        lambda: class_activity(model, batches, classes=3),
    ]
    for ask in asks:
        ask()
    handle = BYPASSED[said](model)
    try:
        for ask in asks:
            with pytest.raises(TypeError, match=f"answers after every step .*, but {said}: put what it does into"):
                ask()
    finally:
        if handle is not None:
            handle.remove()


def test_a_hook_on_a_part_acts_in_every_pass(model, images):
    plain = evaluate(model, [(images, LABELS)], draws=1).right
    model.network.readout.register_forward_hook(lambda readout, args, out: (-out[0], out[1]))
    found = evaluate(model, [(images, LABELS)], draws=1).right
    assert torch.equal(found[0], model.eval()(images, draw=FIRST_DRAW).argmax(1) == LABELS)
    assert not torch.equal(found, plain)
