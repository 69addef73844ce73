"""What is given to a training, or in the place of a network, that is something else: named, and nothing has changed."""

import numpy as np
import pytest
import torch

import bntt
from bntt.models import mlp
from bntt.nn import FrameEncoder, PoissonEncoder, SpikingClassifier
from bntt.training import Method, Session, cross_entropy
from tests.rows import each_row
from tests.training.test_fit import build

pytestmark = pytest.mark.usefixtures("no_hook")
IMAGES, LABELS = torch.full((4, 1, 4, 4), 0.5), torch.tensor([0, 1, 2, 0])
PAIRS = [(IMAGES, LABELS)]


class Epochs:
    """A loader of one batch."""

    def __init__(self, *batch):
        self.batch = batch

    def __len__(self):
        return 1

    def epoch(self, draw):
        yield self.batch


def hooked():
    model = build()
    model.register_forward_pre_hook(lambda model, args: (1 - args[0],))
    return model


def normed(norm):
    net = mlp(in_features=16, hidden=(12,), num_classes=3, num_steps=4, norm=norm)
    return lambda: SpikingClassifier(FrameEncoder(4), net)


def method(**options):
    return {"method": Method(**options)}


@each_row(
    "error, named, given",
    [
        (TypeError, "method .*Method", {"method": {"lr": 0.1}}),
        (TypeError, "optimizer .*Optimizer", {"optimizer": "sgd"}),
        (ValueError, "optimizer steps no parameter", {"optimizer": torch.optim.SGD(build().parameters())}),
        (TypeError, "loss .*str", {"loss": "mse"}),
        (TypeError, "loss .*class CrossEntropyLoss", {"loss": torch.nn.CrossEntropyLoss}),
        (ValueError, "Linear, has parameters", {"loss": torch.nn.Linear(3, 1)}),
        (ValueError, "label_smoothing=0.1", {"loss": cross_entropy, **method(label_smoothing=0.1)}),
        (ValueError, "loss='tet'", {"loss": cross_entropy, **method(loss="tet")}),
        (TypeError, "hook", {"model": hooked, **method(loss="tet")}),
        *((ValueError, f"epochs .*got {epochs}", {"epochs": epochs}) for epochs in (0, -1, 0.5, 1.5)),
        (ValueError, "length", {"loader": (pair for pair in PAIRS), **method(schedule="one-cycle")}),
        (ValueError, "freeze: 'fc9'", method(freeze=["fc1", "fc9"])),
        (ValueError, "freeze: .*nothing", method(freeze=["*"])),
        (ValueError, "grow", method(freeze=["fc1"], grow=[(4, 1)])),
        (ValueError, "grow", method(grow=[(2, 3)])),
        *(
            (ValueError, "grow.* 'fc1'", {"model": normed(norm), **method(loss="tet", grow=((2, 1),))})
            for norm in ("tdbn", "bn-pooled", "tebn")
        ),
        (TypeError, "samples .*ndarray", {"loader": [(IMAGES.numpy(), LABELS)]}),
        (TypeError, "samples .*list", {"loader": [(IMAGES.tolist(), LABELS)]}),
        (TypeError, "ImageSet", {"loader": bntt.data.synthetic().train}),
        (TypeError, "index .*ndarray", {"loader": Epochs(IMAGES, LABELS, np.arange(4))}),
        (ValueError, r"epoch\(draw\)", {"loader": Epochs(IMAGES, LABELS)}),
        (ValueError, "0 training batches in epoch 1", {"loader": []}),
        (ValueError, "pixels", {"loader": [(IMAGES * float("nan"), LABELS)]}),
        *((ValueError, "labels", {"loader": [(IMAGES, torch.tensor([0, 1, 2, bad]))]}) for bad in (-100, 3, 255)),
    ],
)
def test_what_a_training_is_given(error, named, given):
    given = {"loader": PAIRS, "epochs": 3, **given}
    model = given.pop("model", build)()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(error, match=named):
        next(Session(model, given.pop("loader"), **given).records())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_numbers_of_numpy_are_taken():
    session = Session(build(), [(IMAGES, LABELS.numpy())], epochs=np.int64(2))
    assert (session.epochs, next(session.records()).samples) == (2, 4)


@each_row(
    "taker, more",
    [
        (bntt.analysis.gamma_profile, ()),
        (bntt.analysis.gamma_spread, ()),
        (bntt.analysis.step_changes, ()),
        (bntt.analysis.stepwise_norms, ()),
        (bntt.interop.to_state_dict, ("authors",)),
        (bntt.nn.fold, ()),
        (bntt.nn.retime, (8, "hold")),
        (bntt.training.balance, (PoissonEncoder(4), PAIRS)),
        (bntt.training.convert, ()),
        (bntt.training.set_thresholds, ({"fc1": 1.0},)),
        (bntt.training.thresholds_of, ()),
    ],
)
def test_a_network_is_wanted_not_its_classifier(taker, more):
    with pytest.raises(TypeError, match=rf"{taker.__name__}\(\) .*SpikingNetwork"):
        taker(build(), *more)
