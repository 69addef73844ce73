"""What networks and their parts refuse: a table for each door, with the error's type and what it names."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.graph.recording import Measure
from bntt.models import mlp, vgg6
from bntt.nn.blocks import (
    BlockState,
    CurrentBlock,
    LayerBlock,
    NeuronBlock,
    Readout,
    Residual,
    SpikeCount,
    SpikeDropout,
    SpikingBlock,
    SpikingLayer,
    bind_modules,
    check_stage,
)
from bntt.nn.call import Call, NetworkState, check_call, index_of, noise_of, rows_of
from bntt.nn.encoders import (
    DirectEncoder,
    ExpectedEncoder,
    FrameEncoder,
    NoisyEncoder,
    PoissonEncoder,
    SequenceEncoder,
    channel_scales,
    check_values,
    steps_of,
)
from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.network.fold import fold, retime
from bntt.nn.network.labelled_batch import samples
from bntt.nn.network.measured import check_finite_input, membrane_at, weights_of
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms import BNTT, TAB, TDBN, LayerNorm, NoNorm, NormMethod, TemporalNorm
from bntt.ops.folded import FoldedNeuron
from bntt.ops.pooling import Window
from bntt.ops.spike import ArcTan
from tests.nn.networks import conv, linear, quiet, small
from tests.nn.test_blocks import Normed
from tests.rows import each_row

T = 6
NAN, INF = math.nan, math.inf


def refuses(*rows):
    """A test of one door: each call raises its error, which names what it must."""

    @pytest.mark.usefixtures("no_hook")
    @each_row("call, error, named", rows)
    def test(call, error, named):
        with pytest.raises(error, match=named):
            call()

    return test


def named(norm: TemporalNorm, path: str) -> TemporalNorm:
    norm.path = path
    return norm


test_norms = refuses(
    (lambda: BNTT(0, 3), ValueError, "channels"),
    (lambda: BNTT(3, 0), ValueError, "num_steps"),
    (lambda: BNTT(3, 2.0), ValueError, "num_steps"),
    *((lambda eps=eps: BNTT(3, 4, eps=eps), ValueError, "eps") for eps in (0.0, -1.0, INF)),
    *((lambda share=share: BNTT(3, 4, momentum=share), ValueError, "momentum") for share in (1.5, -0.1)),
    (lambda: TemporalNorm(3, 4, NormMethod("Mine", pooling=Window(4))), ValueError, "Mine"),
    (lambda: named(BNTT(4, T), "block3.norm")(torch.ones(1, 2, 4), Call(T)), ValueError, "block3.norm.*t=6"),
    (lambda: TDBN(8, T).eval()(torch.ones(4, 8, 8, 5)), ValueError, "6 time steps"),
    (lambda: LayerNorm(8)(torch.ones(4, 8, 6, 5)), ValueError, "8 channels"),
    (lambda: BNTT(3, T)(torch.ones(T, 2, 4)), ValueError, "3 channels"),
    (lambda: BNTT(3, T)(torch.ones(T, 0, 3)), ValueError, "empty batch"),
    (lambda: named(BNTT(3, T), "fc1.norm")(torch.ones(T, 1, 3)), ValueError, "fc1.norm.*t=0"),
    (lambda: TAB(3, T)(torch.ones(T, 1, 3)), ValueError, "t=0"),
    (lambda: TDBN(3, T)(torch.ones(2, 2, 3), Call(0, whole=False)), ValueError, "steps 0-1"),
    (lambda: TAB(3, T)(torch.ones(2, 2, 3), Call(2)), ValueError, "t=2"),
    (lambda: SpikingBlock(linear(4, 8), BNTT(8, T), LIF())(torch.ones(5, 2, 4)), ValueError, "6 time steps"),
)


def spiking_surrogate(v):
    return (v > 0).float()


spiking_surrogate.__module__ = "snntorch.surrogate"


test_neurons = refuses(
    *((lambda leak=leak: LIF(leak), ValueError, "leak") for leak in (-0.1, 1.5, NAN)),
    *((lambda high=high: LIF(0.9, high), ValueError, "threshold") for high in (0.0, -1.0, NAN, INF)),
    (lambda: LIF(0.9, nn.Parameter(torch.tensor(1.0))), TypeError, "threshold"),
    (lambda: LIF(threshold=torch.ones(8)), TypeError, r"threshold.*\[8\]"),
    (lambda: LIF(torch.tensor(0.9, requires_grad=True)), TypeError, "leak"),
    (lambda: LIF(reset="hard"), TypeError, "reset"),
    (lambda: LIF(surrogate=ArcTan), TypeError, "surrogate"),
    (lambda: LIF(surrogate=spiking_surrogate), TypeError, "surrogate.*snntorch"),
    *((lambda leak=leak: LIF(leak, learn_leak=True), ValueError, "leak") for leak in (0.0, 1.0)),
    (lambda: LIF(0.8, learn_leak="channel"), ValueError, "channels"),
    (lambda: LIF(0.8, learn_leak="neuron"), ValueError, "learn_leak"),
    (lambda: LIF(1.0, decay_input=True), ValueError, "input decays"),
    (lambda: LIF(0.8, learn_leak=True, channels=3)(torch.ones(5, 2, 2)), ValueError, "3 channels"),
    (lambda: LIF()(torch.ones(1, 2, 3), Call(1), torch.ones(4, 3)), ValueError, r"membrane.*\[4, 3\]"),
    (lambda: LIF()(torch.zeros(0, 2, 3)), ValueError, "at least one time step"),
    (lambda: tabled()(torch.ones(2, 1, 3), Call(4)), ValueError, "t=5"),
    (lambda: tabled()(torch.ones(2, 1, 2)), ValueError, "3 channels"),
    (lambda: tabled()(torch.ones(1, 2, 3), Call(1), torch.ones(4, 3)), ValueError, r"membrane.*\[4, 3\]"),
)


def tabled(steps: int = 5, channels: int = 3) -> FoldedLIF:
    return FoldedLIF(FoldedNeuron(0.9, torch.ones(steps, channels)))


class Returning(nn.Module):
    """A stage that returns what it is told to."""

    def __init__(self, result) -> None:
        super().__init__()
        self.result = result

    def forward(self, x, call, state=None):
        return self.result(x)


def listing(layers) -> nn.Module:
    block = Returning(lambda x: (x, None))
    return type("Listing", (Returning,), {"layers": property(lambda self: layers)})(block.result)


def spiking(i: int, o: int) -> SpikingBlock:
    return SpikingBlock(conv(i, o, 3, padding=1), BNTT(o, 2), LIF())


def layer(synapse: nn.Module, norm: nn.Module | None = None, lif: nn.Module | None = None) -> SpikingBlock:
    return SpikingBlock(synapse, norm or NoNorm(), lif or LIF())


def network(*blocks: nn.Module, readout: nn.Module | None = None) -> SpikingNetwork:
    return SpikingNetwork(list(blocks), readout or Readout(linear(4, 2)))


X = torch.ones(3, 2, 4)
IMAGES = torch.ones(2, 3, 2, 11, 11)
SUM = {"first": spiking(2, 8), "second": spiking(8, 6)}


test_blocks = refuses(
    (lambda: layer(linear(4, 4), nn.BatchNorm2d(3)), TypeError, "norm.*BatchNorm2d"),
    (lambda: layer(linear(4, 4), lif=nn.ReLU()), TypeError, "lif.*ReLU"),
    (lambda: SpikingBlock(linear(4, 6), NoNorm(), LIF(), None, nn.Dropout()), TypeError, "dropout"),
    (lambda: LayerBlock(linear(4, 4), None, LIF()), TypeError, "norm"),
    (lambda: layer(linear(4, 4), Returning(lambda x: x))(X), TypeError, "norm.*Tensor"),
    (lambda: layer(linear(4, 4), lif=Returning(lambda x: (x[1:], None)))(X), ValueError, r"lif.*\[2, 2\]"),
    (lambda: check_stage(3, "it", "y"), TypeError, "it .*int"),
    (lambda: Residual({}), ValueError, "body"),
    (lambda: Residual({"a": linear(2, 2)}), TypeError, "'a'"),
    (lambda: Residual({"a": NeuronBlock(LIF())}, after=LIF()), TypeError, "'after'"),
    (lambda: SpikingNetwork({"b": Residual(SUM)}, Readout(linear(1, 1)))(IMAGES), ValueError, "'b'.*'second'"),
    *((lambda p=p: SpikeDropout(p), ValueError, "p must") for p in (1, 1.5, -0.1, NAN)),
    (lambda: SpikeDropout(0.5)(X), ValueError, "noise"),
    (lambda: Readout(linear(4, 2))(X[:0]), ValueError, "at least one time step"),
    (lambda: network(linear(4, 4)), TypeError, "'block1'"),
    (lambda: network(listing(2 * layer(linear(4, 4)).layers)), TypeError, "'block1'.*layers"),
    (lambda: network(listing((layer(linear(4, 4)),))), TypeError, "'block1'.*layers"),
    (lambda: network(layer(linear(4, 4)), readout=linear(4, 2)), TypeError, "readout"),
    (lambda: network(layer(linear(4, 4), BNTT(4, 3)), layer(linear(4, 4), BNTT(4, 5))), ValueError, "block2.norm"),
    (lambda: network(layer(linear(4, 6), BNTT(6, 3)), readout=Normed(4)), ValueError, "readout.norm"),
    (lambda: network(layer(linear(4, 4), BNTT(4, 3)), layer(linear(4, 4), lif=tabled(5, 4))), ValueError, "lif"),
    (lambda: bind_modules(nn.ModuleDict({"a": BNTT(6, 3), "b": BNTT(6, 4)})), ValueError, "'b'"),
    (lambda: Call(first=-1), ValueError, "first=-1"),
    *(
        (lambda part=part: part(torch.ones(2, 5, 3), torch.zeros(5, 3)), TypeError, "Call.*Tensor")
        for part in (
            *(BNTT(3, 4), LayerNorm(3), NoNorm(), LIF(), Readout(nn.Identity())),
            *(SpikeCount(nn.Identity(), LIF()), layer(nn.Identity()), Residual({"a": layer(nn.Identity())})),
        )
    ),
    (lambda: check_call(None), TypeError, "Call.*NoneType"),
)


@torch.random.fork_rng()
def drawn() -> tuple[nn.Linear, ...]:
    """Layers of PyTorch, which draw their start values."""
    return nn.Conv2d(1, 2, 3, padding=1), nn.Linear(36, 8), nn.Linear(72, 3)


CONV, FLAT, LAST = drawn()
FRAMES = torch.rand(4, 2, 1, 6, 6, generator=torch.Generator())
SMALL = partial(mlp, in_features=6, hidden=(8,), num_classes=3)


def with_weights(name: str, part: str, value) -> SpikingNetwork:
    """The small network with other weights or another bias in one layer."""
    net = small(5)
    synapse = net.blocks[name].synapse
    delattr(synapse, part)
    setattr(synapse, part, value)
    return net


def bad_input(value: float, where=(2, 1, 3)) -> Tensor:
    x = torch.zeros(5, 3, 6)
    x[where] = value
    return x


test_networks = refuses(
    (lambda: setattr(SMALL(), "compute", "cpu"), TypeError, "compute"),
    (lambda: SMALL(num_steps=5)(torch.ones(3, 4, 6)), ValueError, r"5 time steps.*steps=.*advance"),
    (lambda: SMALL(num_steps=5)(torch.ones(3, 4, 6), steps=4), ValueError, "4 time steps"),
    (lambda: SMALL(num_steps=5)(torch.ones(10, 4, 6), steps=10), ValueError, "t=9"),
    (lambda: SMALL(num_steps=4).double()(torch.zeros(4, 2, 6)), ValueError, "'fc1'.*float64"),
    *(
        (
            lambda d=dtype, way=way: getattr(SMALL().to(d), way)(torch.ones(784, 2, 6, dtype=d)),
            TypeError,
            f"{dtype}",
        )
        for dtype in (torch.float16, torch.bfloat16)
        for way in ("forward", "advance")
    ),
    (lambda: SMALL(norm="none")(torch.ones(0, 2, 6)), ValueError, "at least one time step"),
    (lambda: SMALL(num_steps=4).trace([]), ValueError, "at least one time step"),
    (lambda: SMALL(num_steps=4).advance(torch.ones(3, 6)), ValueError, r"\[S, B, ...\]"),
    (lambda: vgg6(num_steps=4, width=0.25)(torch.ones(4, 1, 28, 28)), ValueError, r"'conv1'.*\[4, 1, 28, 28\]"),
    (lambda: vgg6(num_steps=4, width=0.25)(torch.ones(4, 2, 1, 32, 32)), ValueError, "'fc1'.*392"),
    (lambda: network(layer(FLAT), readout=Readout(LAST))(FRAMES), RuntimeError, "'block1' applied its Linear"),
    (lambda: network(layer(CONV), readout=SpikeCount(LAST, LIF()))(FRAMES), RuntimeError, "readout applied its"),
    (lambda: with_weights("conv2", "bias", nn.Parameter(torch.ones(10)))(IMAGES5), RuntimeError, "'conv2' applied"),
    (lambda: with_weights("fc1", "weight", quantised())(IMAGES5), TypeError, "'fc1'.*qint8"),
    (lambda: SMALL(num_steps=5)(bad_input(NAN)), ValueError, "t=2 in sample 1"),
    (lambda: SMALL(num_steps=5).trace(bad_input(-INF)), ValueError, "t=2 in sample 1"),
    (lambda: gone_on(5, bad_input(NAN), 2), ValueError, "t=2 in sample 1"),
    (lambda: check_finite_input(torch.tensor([[[0.0, NAN]]]).expand(9, 1, 2), 0), ValueError, "t=0 in sample 0"),
    (lambda: measured(("fc9", (0,))), ValueError, "'fc9'.*fc1"),
    (lambda: measured(("fc1", (8,))), ValueError, r"\[8\]"),
    (lambda: Measure(membrane=("fc1", (0,)), gradient=True), ValueError, "membrane|one at a time"),
    (lambda: membrane_at("it", (X, None), (0,)), TypeError, "'it'.*tuple"),
    (lambda: weights_of(weighed(nn.Sequential(FLAT, nn.PReLU()))), TypeError, "'fc1'.*Sequential"),
)


IMAGES5 = torch.ones(5, 2, 2, 11, 11)


def quantised() -> Tensor:
    with pytest.warns(UserWarning, match="deprecated"):
        return torch.quantize_per_tensor(torch.ones(33, 18), 0.1, 0, torch.qint8)


def measured(membrane) -> None:
    SMALL(num_steps=4).advance(torch.ones(4, 2, 6), measure=Measure(membrane=membrane))


def weighed(synapse: nn.Module) -> SpikingLayer:
    return SpikingLayer("fc1", synapse, None, None)


def gone_on(steps: int, x: Tensor, first: int, change=lambda state: state, *, norm: str = "bntt", train=False) -> None:
    """The steps of an input from one on, by a state that was changed after those before."""
    net = SMALL(num_steps=steps, norm=norm).train(train)
    _, state = net.advance(x[:first])
    net.advance(x[first:], change(state))


def rows_after(norm: str, *, train: bool) -> NetworkState:
    net = SMALL(num_steps=4, norm=norm)
    _, state = net.train(train).advance(torch.ones(2, 2, 6))
    if train and norm == "tab":
        _, state = net.eval().advance(torch.ones(1, 2, 6), state)
    return state.rows(torch.tensor([0]))


def trained_on_a_state_of_evaluation() -> None:
    net = SMALL(num_steps=4, norm="tab").eval()
    _, state = net.advance(torch.ones(2, 2, 6))
    net.train().advance(torch.ones(1, 2, 6), state)


STATE = NetworkState(2, 3, (), None, noise_of(None, 3, 1, 2, None))


def other_blocks(state: NetworkState) -> NetworkState:
    return replace(state, blocks=(*state.blocks, *state.blocks))


def other_membrane(state: NetworkState) -> NetworkState:
    return replace(state, blocks=(BlockState(torch.zeros(2, 9), None),))


test_states = refuses(
    (lambda: gone_on(4, torch.ones(5, 2, 6), 4), ValueError, "t=4"),
    (lambda: gone_on(4, torch.ones(7, 2, 6), 2), ValueError, "t=6"),
    (
        lambda: gone_on(4, torch.ones(4, 2, 6), 2, lambda s: s.rows(torch.tensor([0]))),
        ValueError,
        "1 samples.*of 2",
    ),
    (lambda: gone_on(4, torch.ones(4, 2, 6), 2, other_blocks), ValueError, "2 blocks.*1"),
    (lambda: gone_on(4, torch.ones(4, 2, 6), 2, other_membrane), ValueError, "membrane"),
    (lambda: trained_on_a_state_of_evaluation(), ValueError, "t=2"),
    (lambda: rows_after("bntt", train=True), ValueError, "training"),
    (lambda: rows_after("tab", train=True), ValueError, "evaluation"),
    (lambda: STATE.rows(torch.tensor([True, False])), ValueError, r"keep.*\[2\]"),
    (lambda: rows_of(3, torch.tensor([0])), TypeError, "int"),
    (lambda: noise_of(STATE, 3, 4, None, None), ValueError, "seed 1, draw 2"),
    (lambda: noise_of(STATE, 3, None, None, torch.tensor([0, 2, 1])), ValueError, "index"),
    *(
        (lambda bad=bad: index_of(bad, 3), ValueError, "index.*3 samples")
        for bad in (torch.arange(2), torch.zeros(3), torch.ones(3, dtype=torch.bool), torch.zeros(3, 1).long())
    ),
)


SCALES = {"mean": [0.5], "std": [0.25]}
PIXELS = [
    (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), TypeError, "uint8"),
    (torch.full((2, 1, 4, 4), 255.0), ValueError, "from 0 to 1"),
    (torch.full((2, 1, 4, 4), -0.5), ValueError, "from 0 to 1"),
    (torch.full((2, 1, 4, 4), NAN), ValueError, "sample 0"),
    (torch.full((2, 1, 4, 4), INF), ValueError, "sample 0"),
    (torch.zeros(1, 4, 4), ValueError, r"\[B, C, H, W\]"),
    (torch.zeros(0, 1, 4, 4), ValueError, "empty batch"),
    (torch.zeros(2, 3, 4, 4), ValueError, "mean and std"),
    (torch.zeros(2, 1, 4, 4, device="meta"), TypeError, "no values"),
]
VALUES = [
    (torch.full((1, 1, 2, 2), NAN), ValueError, "sample 0"),
    (torch.tensor([[0.0], [INF]]), ValueError, "sample 1"),
    (torch.ones(1, 1, 2, 2, dtype=torch.uint8), TypeError, "uint8"),
    (torch.ones(0, 1, 2, 2), ValueError, "empty batch"),
    (torch.ones(1, 1, 2, 2, device="meta"), TypeError, "no values"),
]
FRAME = [
    (torch.zeros(3, T - 1, 5), ValueError, r"T = 6.*\[3, 5, 5\]"),
    (torch.zeros(3, T + 1, 2, 4, 4), ValueError, "T = 6"),
    (torch.zeros(3, T), ValueError, r"\[B, T, ...\]"),
    (torch.zeros(0, T, 5), ValueError, "empty batch"),
    (torch.full((3, T, 5), NAN), ValueError, "frames.*sample 0"),
    (torch.zeros(3, T, 5, dtype=torch.complex64), TypeError, "complex64"),
]
SEQUENCE = [
    (torch.zeros(3, T - 1, 2), ValueError, "T = 6"),
    (torch.zeros(3, T, 2, 4, 4), ValueError, r"\[B, T, F\]"),
    (torch.full((3, T, 2), NAN), ValueError, "sequences.*sample 0"),
    (torch.zeros(3, T, 2, dtype=torch.uint8), TypeError, "uint8"),
]
EACH = (PoissonEncoder, DirectEncoder, ExpectedEncoder, FrameEncoder, SequenceEncoder)
IMAGE = {FrameEncoder: torch.ones(3, T, 2), SequenceEncoder: torch.ones(3, T, 2)}


def noisy(clip: bool = True, **options) -> NoisyEncoder:
    options = {"encoder": PoissonEncoder(T, **SCALES), "sigma": 0.1, "clip": clip, **options}
    return NoisyEncoder(**options)


test_encoders = refuses(
    *((lambda x=x: PoissonEncoder(4, **SCALES)(x), error, said) for x, error, said in PIXELS),
    *((lambda x=x: DirectEncoder(4, **SCALES)(x), error, said) for x, error, said in PIXELS),
    *((lambda x=x: check_values(x, "pixels"), error, said) for x, error, said in VALUES),
    *((lambda x=x: FrameEncoder(T)(x), error, said) for x, error, said in FRAME),
    *((lambda x=x: SequenceEncoder(T, mean=[0.1, 0.2], std=[1.0, 1.0])(x), error, said) for x, error, said in SEQUENCE),
    *((lambda make=make: make(0), ValueError, "num_steps") for make in EACH),
    *(
        (lambda make=make, steps=steps: make(T)(IMAGE.get(make, torch.ones(3, 1, 2, 2)), steps=steps), *what)
        for what in [(ValueError, r"6 time steps \(0-5\)")]
        for make in EACH
        for steps in (range(-1, 2), range(4, T + 1))
    ),
    *((lambda s=s: steps_of(s, T), ValueError, "steps") for s in (range(3, 3), range(0, 6, 2), range(5, -1, -1))),
    (lambda: PoissonEncoder(4, mean=[0.5]), ValueError, "mean and std"),
    (lambda: DirectEncoder(4, mean=[0.5], std=[0.5, 0.5]), ValueError, "mean and std"),
    (lambda: channel_scales([NAN], [1.0]), ValueError, "mean"),
    (lambda: channel_scales([0.0], [INF]), ValueError, "std"),
    (lambda: channel_scales([0.5], [0.0]), ValueError, "std"),
    (lambda: PoissonEncoder(T, signed=False).spikes(torch.full((1, 2), -0.1)), ValueError, "from 0 to 1"),
    (lambda: ExpectedEncoder(1, signed=False).spikes(torch.full((1, 2), 1.5)), ValueError, "from 0 to 1"),
    (lambda: PoissonEncoder(T).spikes(torch.ones(3, 2), index=torch.arange(2)), ValueError, "index.*3 samples"),
    *((lambda sigma=sigma: noisy(sigma=sigma), ValueError, "sigma") for sigma in (-0.1, NAN, INF)),
    (lambda: noisy(where="image"), ValueError, "where"),
    (lambda: noisy(seed=-1), ValueError, "seed"),
    (lambda: noisy(where="normalized", encoder=PoissonEncoder(T)), ValueError, "mean and std"),
    (lambda: noisy(clip=False, encoder=PoissonEncoder(T, signed=False)), ValueError, "clip"),
    (lambda: noisy(encoder=FrameEncoder(T)), TypeError, "FrameEncoder"),
    (lambda: noisy()(torch.full((1, 1, 2, 2), 1.5)), ValueError, "from 0 to 1"),
)


class Whole:
    """An encoder that gives all steps whatever it is asked for."""

    num_steps = 4

    def __call__(self, x, *, seed=0, index=None, draw=0, steps=None, compact=False):
        return x.flatten(1).expand(4, -1, -1)


def classifier(encoder=None) -> SpikingClassifier:
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4)
    return SpikingClassifier(encoder or PoissonEncoder(4, **SCALES), net)


def with_encoder(encoder) -> SpikingClassifier:
    model = classifier()
    model.encoder = encoder
    return model


GRAY = torch.full((5, 1, 4, 4), 0.5)
BYTES = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)


def selected_alone(model: SpikingClassifier) -> None:
    _, state = model.eval().advance(GRAY)
    model.advance(GRAY, state.rows(torch.tensor([0, 3])))


test_classifiers = refuses(
    (lambda: SpikingClassifier(SMALL(), PoissonEncoder(4)), TypeError, "SpikingNetwork and PoissonEncoder"),
    (lambda: SpikingClassifier(PoissonEncoder(4), nn.Identity()), TypeError, "Identity"),
    (lambda: SpikingClassifier(PoissonEncoder(4), SMALL(num_steps=7)), ValueError, "num_steps=4.*num_steps=7"),
    (lambda: with_encoder(DirectEncoder(2))(GRAY), ValueError, "num_steps=2.*num_steps=4"),
    (lambda: classifier()(GRAY, steps=6), ValueError, "4 time steps"),
    (lambda: classifier()(BYTES), TypeError, "uint8"),
    (lambda: classifier().advance(BYTES), TypeError, "uint8"),
    (lambda: selected_alone(classifier()), ValueError, "2 samples.*of 5"),
    (lambda: classifier()(GRAY.clone().requires_grad_()), ValueError, "gradient"),
    (lambda: classifier(Whole()).eval().advance(GRAY, steps=1), ValueError, r"Whole.*\[1, 5"),
    *(
        (lambda call=call, index=index: call(GRAY, index=index), TypeError, "index")
        for index in (np.arange(5), [0, 1, 2, 3, 4])
        for call in (classifier(), classifier().trace, classifier().advance, PoissonEncoder(4))
    ),
)


BATCH = torch.zeros(3, 1, 2, 2)
NO_LABELS = [
    *(("cat", "dog", "cat"), np.array(["cat", "dog", "cat"]), [0, None, 1], [[0], [1, 2], [0]]),
    *(7, torch.tensor(7), np.array(7), [0.0, 1.0, 2.0], np.zeros(3), torch.zeros(3), torch.zeros(2, 4)),
    *(torch.zeros(3, 0), torch.zeros(3, 4, 1), np.zeros((3, 4, 1)), torch.zeros(3, dtype=torch.bool)),
    *(torch.zeros(2, dtype=torch.int64), torch.zeros(3, 10, dtype=torch.int64)),
]
NO_SHARES = [[0.5, 0.4998], [0.5, 0.5002], [1.25, -0.25], [NAN, 1.0], [INF, 0.0], [INF, -INF]]
NO_PAIRS = [BATCH, {"images": BATCH}, (BATCH,), (BATCH, [0, 1, 2], [0, 1, 2]), (torch.tensor(1.0), [0])]
PAIRS = [(torch.ones(2, 1), [0, 1])] * 3


test_batches = refuses(
    *((lambda y=labels: list(samples([(BATCH, y)], 0)), ValueError, "labels.*3 integers") for labels in NO_LABELS),
    *(
        (lambda kind=kind, row=row: list(samples([(BATCH, kind([[1.0, 0.0], row, [2.0, 2.0]]))], 0)), *what)
        for what in [(ValueError, "labels.*row 1")]
        for row in NO_SHARES
        for kind in (list, torch.tensor)
    ),
    *((lambda pair=pair: list(samples([pair], 0)), ValueError, "inputs") for pair in NO_PAIRS),
    (lambda: list(samples(PAIRS, 0, 4)), ValueError, "3 batches.*4"),
    (lambda: list(samples(3, 0)), TypeError, "int"),
)


def normed(kind=SpikingBlock, norm="bntt", lif: nn.Module | None = None) -> SpikingBlock:
    made = mlp(in_features=3, hidden=(3,), num_steps=2, norm=norm).blocks["fc1"]
    return kind(linear(3, 3), made.norm, lif or LIF())


def folding(*blocks: nn.Module) -> SpikingNetwork:
    return fold(SpikingNetwork({f"fc{i}": block for i, block in enumerate(blocks, 1)}, Readout(linear(3, 2))))


def changed(block: SpikingBlock, change) -> SpikingBlock:
    change(block)
    return block


class Mine(SpikingBlock):
    """A block from outside of the library."""


ADDED = Residual({"a": normed(), "b": CurrentBlock(linear(3, 3), BNTT(3, 2))})
WINDOWED = partial(mlp, hidden=(4,), num_steps=5, norm=lambda c, t, _: TemporalNorm(c, t, NormMethod("W", Window(3))))


test_copies_of_networks = refuses(
    (lambda: folding(normed(), normed(norm="layer")), ValueError, "'fc2'.*LayerNorm"),
    (lambda: folding(normed(Mine)), ValueError, "'fc1'.*Mine"),
    (lambda: folding(normed(), copy.deepcopy(ADDED)), ValueError, r"'fc2\.b'"),
    (lambda: folding(normed(lif=tabled(2))), ValueError, "'fc1'.*FoldedLIF"),
    (lambda: folding(normed(lif=LIF(reset=lambda u, o, theta: u * 0))), ValueError, "'fc1'.*fire"),
    (lambda: folding(normed(lif=quiet())), ValueError, "'fc1'.*Quiet"),
    (lambda: folding(changed(normed(), hooked)), ValueError, "'fc1'.*hook"),
    (lambda: folding(changed(normed(), without_numbers)), ValueError, "'fc1'.*nan"),
    (lambda: fold(SpikingNetwork([layer(linear(4, 6))], Normed(4))), ValueError, "readout"),
    (lambda: fold(classifier()), TypeError, "SpikingClassifier"),
    (lambda: retime(fold(SMALL(num_steps=5)), 8, "hold"), TypeError, "FoldedLIF 'fc1.lif'"),
    (lambda: retime(WINDOWED(), 3, "truncate"), ValueError, "W 'fc1.norm'"),
    *((lambda n=norm: retime(SMALL(norm=n), 8, "stretch"), ValueError, "'stretch'") for norm in ("none", "bntt")),
    *((lambda n=norm: retime(SMALL(norm=n), -3, "hold"), ValueError, "-3") for norm in ("none", "bntt")),
    *(
        (lambda how=how, to=to: retime(SMALL(num_steps=4), to, how), ValueError, how)
        for how, to in (("truncate", 5), ("truncate", 0), ("hold", 3), ("interpolate", 3))
    ),
)


def hooked(block: SpikingBlock) -> None:
    block.lif.register_forward_hook(lambda module, args, out: None)


def without_numbers(block: SpikingBlock) -> None:
    nn.init.constant_(block.norm.gamma, NAN)


NETWORK = mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=4)
CLASSIFIER = SpikingClassifier(PoissonEncoder(4), NETWORK)
PICTURES = torch.full((4, 1, 2, 2), 0.5)
DOORS = {
    "a network": (NETWORK, (4, 2, 4)),
    "advance": (NETWORK.advance, (4, 2, 4)),
    "trace": (NETWORK.trace, (4, 2, 4)),
    "a classifier": (CLASSIFIER, PICTURES.shape),
    "its advance": (CLASSIFIER.advance, PICTURES.shape),
    "its trace": (CLASSIFIER.trace, PICTURES.shape),
    "Poisson": (PoissonEncoder(4), PICTURES.shape),
    "direct": (DirectEncoder(4), PICTURES.shape),
    "frames": (FrameEncoder(4), (2, 4, 3)),
    "sequences": (SequenceEncoder(4), (2, 4, 3)),
    "a norm": (BNTT(8, 4), (4, 2, 8)),
    "layer norm": (LayerNorm(8), (4, 2, 8)),
    "neurons": (LIF(), (4, 2, 8)),
    "folded neurons": (FoldedLIF(FoldedNeuron(leak=0.5, threshold=1.0)), (4, 2, 8)),
    "a block": (SpikingBlock(nn.Linear(4, 8), BNTT(8, 4), LIF()), (4, 2, 4)),
    "a readout": (Readout(nn.Linear(8, 3)), (4, 2, 8)),
    "predict": (lambda x: bntt.analysis.predict(CLASSIFIER, x, ("a", "b", "c")), PICTURES.shape),
}


@pytest.mark.usefixtures("no_hook")
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


@pytest.mark.usefixtures("no_hook")
@each_row("function", [*takers()])
def test_a_network_is_no_classifier(function):
    others = {
        p.name: None
        for p in inspect.signature(function).parameters.values()
        if p.default is inspect.Parameter.empty and p.name not in ("model", "epochs")
    }
    others |= {"epochs": 1} if function.__name__ == "updates" else {}
    for wrong, came in ((NETWORK, "SpikingNetwork"), (nn.Identity(), "Identity"), ([], "list")):
        with pytest.raises(TypeError, match=came):
            function(wrong, **others)
