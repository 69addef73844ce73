"""What a method or a training is given that is something else is named, and nothing has changed."""

import dataclasses

import numpy as np
import pytest
import torch

import bntt
from bntt.models import mlp
from bntt.nn import FrameEncoder, PoissonEncoder, SpikingClassifier
from bntt.runs.recipe.file import load_recipe
from bntt.runs.recipe.schema import Train
from bntt.training import Method, Session, cross_entropy
from tests.rows import each_row
from tests.training.test_fit import build


def test_the_default_is_the_papers():
    method = Method()
    assert (method.optimizer, method.lr, method.momentum, method.schedule) == ("sgd", 0.3, 0.9, "step")
    assert (method.weight_decay, method.gamma_decay, method.lr_drops) == (5e-4, 5e-4, (50, 70, 90))
    assert (method.loss, method.label_smoothing, method.clip_norm, method.accumulate) == ("cross-entropy", 0.0, None, 1)
    assert Method(weight_decay=0.1).gamma_decay == 0.1, "as the weights, unless it is told"
    assert isinstance(Method(lr=1).lr, float)


WRONG = [
    ("optimizer .*sgd", {"optimizer": "lion"}),
    ("schedule .*step", {"schedule": "steps"}),
    ("loss", {"loss": "mse"}),
    ("lr_every", {"lr_every": "batch"}),
    ("lr .*-1.0", {"lr": -1.0}),
    ("weight_decay", {"weight_decay": float("nan")}),
    ("clip_norm", {"clip_norm": float("inf")}),
    ("clip_norm", {"clip_norm": 10**400}),
    ("average", {"average": 1.0}),
    ("label_smoothing", {"label_smoothing": -0.1}),
    ("tet_share", {"tet_share": 1.5}),
    ("accumulate", {"accumulate": 0}),
    ("lr_drops", {"lr_drops": (50, 101)}),
    *(("grow", {"grow": stages}) for stages in ([[2, 1], [2, 1]], [[3, 1], [2, 1]], [[0, 1]], [[2, 0]], [[2]])),
    ("nesterov", {"nesterov": True, "optimizer": "adam"}),
    ("nesterov", {"nesterov": True, "momentum": 0.0}),
    ("warmup", {"schedule": "one-cycle", "warmup": 1.0}),
]


@each_row("named, wrong", WRONG)
def test_what_cannot_be_is_refused(named, wrong):
    with pytest.raises(ValueError, match=f"^{named}"):
        Method(**wrong)


def test_a_recipe_says_the_method_itself():
    train = load_recipe("cifar10").train
    assert train == Train(epochs=train.epochs, batch_size=train.batch_size)
    options = dataclasses.asdict(train)
    assert Method(**{name: options[name] for name in vars(Method())}) == Method()


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


@pytest.mark.usefixtures("no_hook")
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


@pytest.mark.usefixtures("no_hook")
def test_numbers_of_numpy_are_taken():
    session = Session(build(), [(IMAGES, LABELS.numpy())], epochs=np.int64(2))
    assert (session.epochs, next(session.records()).samples) == (2, 4)


@pytest.mark.usefixtures("no_hook")
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
