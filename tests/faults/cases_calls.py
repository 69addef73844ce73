"""Calls of a network that do not fit it."""

from __future__ import annotations

from pathlib import Path

import torch

from bntt.models import mlp
from bntt.nn import BNTT, Call
from tests.faults.case import Case, adder
from tests.faults.user import called, classified, images, model

CASES: list[Case] = []
case = adder(CASES)


case(
    44,
    "a sequence of another length",
    r"ValueError: this network takes .* of 4 time steps, got \[5, 2, 6\]; to",
)(lambda tmp: called(lambda: mlp(in_features=6, hidden=(8,), num_steps=4)(torch.zeros(5, 2, 6))))
case(44, "a step beyond the last", r"ValueError: BNTT has 4 time steps \(0-3\), got t=4: build the network with")(
    lambda tmp: called(lambda: BNTT(3, num_steps=4)(torch.zeros(1, 2, 3), Call(4)))
)


@case(44, "the state of another batch", r"ValueError: the state is of 2 samples, the input of 3")
def stale_state(tmp: Path) -> str:
    net = mlp(in_features=6, hidden=(8,), num_steps=4)
    _, state = net.advance(torch.ones(1, 2, 6))
    return called(lambda: net.advance(torch.ones(1, 3, 6), state))


@case(45, "evaluation before any training (allowed; the mode is restored)", r"ok: \[4, 4, 3\], training True")
def untrained(tmp: Path) -> str:
    untrained = model()
    return called(lambda: f"{list(untrained.trace(images()).logits.shape)}, training {untrained.training}")


case(46, "a batch of one image in training", r"ValueError: BNTT 'fc1.norm' cannot take .*step t=0")(
    lambda tmp: called(lambda: model()(images(1)))
)
case(46, "a batch of one image in evaluation", r"ok: \[1, 3\]")(
    lambda tmp: called(lambda: list(model().eval()(images(1)).shape))
)
case(47, "an empty batch", r"ValueError: the encoder got an empty batch")(classified(lambda: images(0)))
case(48, "channels_last images", r"ok: \[4, 3\]")(
    classified(lambda: images().contiguous(memory_format=torch.channels_last))
)
case(48, "images that require a gradient", r"ValueError: the images ask for a gradient, .*images.detach\(\)")(
    classified(lambda: images().requires_grad_())
)
case(48, "float64 images to a float32 network", r"ValueError: block 'fc1' takes torch.float32")(
    classified(lambda: images().double())
)
case(48, "half precision images to a float32 network (normalising makes them float32)", r"ok: \[4, 3\]")(
    classified(lambda: images().half())
)
case(48, "images on the meta device", r"TypeError: .* no values")(classified(lambda: images().to("meta")))


@case(55, "γ that is 0 everywhere (silence, and no NaN)", r"ok: 0.0, no gradient that is not finite$")
def gamma_of_zero(tmp: Path) -> str:
    net = mlp(in_features=6, hidden=(8,), num_steps=4)
    torch.nn.init.zeros_(net.blocks["fc1"].norm.gamma)

    def told() -> str:
        logits = net(torch.ones(4, 2, 6).cumsum(1))
        logits.sum().backward()
        finite = all(weight.grad.isfinite().all() for weight in net.parameters())
        return f"{logits.abs().max().item()}, {'no' if finite else 'a'} gradient that is not finite"

    return called(told)
