"""Ways of using a network. Each fills a record of named tensors, which both paths must fill alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bntt.nn import (
    BlockState,
    Call,
    DirectEncoder,
    FrameEncoder,
    Measure,
    PoissonEncoder,
    SequenceEncoder,
    SpikingClassifier,
    SpikingNetwork,
    evaluating,
    expected,
    straight_through,
)
from bntt.nn.network.spiking_network import Trace
from tests.fuzz.dice import Dice
from tests.fuzz.networks import CLASSES, Drawn

KINDS = {
    "real": lambda dice, shape: dice.normal(*shape),
    "signed": lambda dice, shape: (dice.rand(*shape) * 3 - 1.5).round(),
    "spikes": lambda dice, shape: (dice.rand(*shape) < 0.4).float(),
    "int8": lambda dice, shape: (dice.rand(*shape) < dice.pick((0.1, 0.3, 0.6))).to(torch.int8),
    "int8 signed": lambda dice, shape: (dice.rand(*shape) * 3 - 1.5).round().to(torch.int8),
    "int8 counts": lambda dice, shape: (dice.rand(*shape) * 3.4).floor().to(torch.int8) * (dice.rand(*shape) < 0.4),
}


@dataclass(frozen=True)
class Input:
    """Values, and how a pass sees them."""

    kind: str
    layout: str
    values: Tensor
    steps: int
    wants_grad: bool

    def make(self, *, double: bool) -> tuple[Tensor, Tensor]:
        """A fresh leaf, and what a network is given of it, ``[T, B, ...]``."""
        leaf = self.values.clone()
        if double and leaf.is_floating_point():
            leaf = leaf.double()
        leaf.requires_grad_(self.wants_grad)
        if self.layout == "expanded":
            return leaf, leaf.expand(self.steps, *leaf.shape)
        if self.layout == "strided":
            return leaf, leaf[..., ::2]
        return leaf, leaf.movedim(-1, 2) if self.layout == "channels last" else leaf

    def __str__(self) -> str:
        return f"{self.kind}, {self.layout} {list(self.values.shape)}{', with gradient' if self.wants_grad else ''}"


def draw_input(dice: Dice, steps: int, batch: int, place: tuple[int, ...]) -> Input:
    """For a network that takes ``[steps, batch, *place]``; seldom one that no network takes."""
    if dice.chance(0.01):
        steps += dice.pick((-1, 1))
    if dice.chance(0.01):
        place = (place[0] + 1, *place[1:])
    kind = dice.pick(list(KINDS))
    layout = dice.pick(("plain", "strided", "expanded", "channels last"), (6, 1, 1.5, 1.5))
    shape: tuple[int, ...] = (steps, batch, *place)
    if layout == "expanded":
        shape = shape[1:]
    elif layout == "strided":
        shape = (*shape[:-1], 2 * shape[-1])
    elif layout == "channels last":
        shape = (steps, batch, *place[1:], place[0])
    values = KINDS[kind](dice, shape)
    return Input(kind, layout, values, steps, values.is_floating_point() and dice.chance(0.3))


@dataclass
class Job:
    """A network at work in one case."""

    net: SpikingNetwork
    drawn: Drawn
    dice: Dice
    double: bool
    ours: bool = False
    """Whether it is the one that is judged; else the standard."""
    notes: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    leaves: list[Tensor] = field(default_factory=list)

    def given(self, batch: int | None = None) -> Tensor:
        """A new input."""
        drawn: Input = draw_input(self.dice, self.drawn.steps, batch or self.drawn.batch, self.drawn.place)
        self.notes.append(str(drawn))
        leaf, x = drawn.make(double=self.double)
        if leaf.requires_grad:
            self.leaves.append(leaf)
        strided = any(isinstance(m, nn.Conv2d) and m.stride != (1, 1) for m in self.net.modules())
        return x.reshape(-1).view(x.shape) if strided else x  # PyTorch itself crashes on some with channels last

    def loss(self, logits: Tensor) -> Tensor:
        self.record[f"logits {sum(name.startswith('logits') for name in self.record)}"] = logits.detach()
        towards = self.dice.normal(len(logits), CLASSES).to(logits.dtype)
        return (logits * towards).sum() + 0.5 * logits.square().sum()


def learn(job: Job) -> None:
    """One or two steps whose gradients add up, the second with a batch of another size."""
    for batch in [job.drawn.batch, job.drawn.batch + job.dice.integer(-1, 2)][: job.dice.pick((1, 2), (3, 1))]:
        job.loss(job.net(job.given(max(1, batch)))).backward()


def change_modes(job: Job) -> None:
    """Running statistics move between a forward pass and its backward pass."""
    job.net.eval()
    loss = job.loss(job.net(job.given()))
    job.net.train()
    if job.dice.chance(0.5):
        job.net(job.given(max(2, job.drawn.batch)))
    else:
        with torch.no_grad():
            job.net(job.given(max(2, job.drawn.batch)))
    loss.backward()


def interleave(job: Job) -> None:
    """Forward passes before backward passes, in any order; some twice."""
    losses = [job.loss(job.net(job.given(batch))) for batch in (job.drawn.batch, job.drawn.batch + 1)]
    if job.dice.chance(0.5):
        losses.reverse()
    for loss in losses:
        if job.dice.chance(0.4):
            loss.backward(retain_graph=True)
        loss.backward()


def take_statistics(job: Job) -> None:
    """Without gradients, in whatever mode."""
    with torch.no_grad():
        job.loss(job.net(job.given()))
        if job.dice.chance(0.5):
            job.loss(job.net(job.given(job.drawn.batch + 1)))


def trace(job: Job) -> None:
    """The trace against a loop over the blocks' steps, and the modes restored."""
    x = job.given()
    _keep(job.record, "trace", job.net.trace(x if job.dice.chance(0.8) else iter(x.split(1))))
    stepped = _stepped(job.net, x)
    job.record["trace logits = stepped"] = stepped
    with evaluating(job.net), torch.no_grad():
        job.record["sequence logits"] = job.net(x)
        job.record["sequence logits = stepped"] = stepped[-1]
    job.record["training"] = [m.training for m in job.net.modules()]


def classify(job: Job) -> None:
    """Images, or frames, through an encoder, learned from and traced."""
    job.net.train(job.dice.chance(0.7))
    encoder = _encoder(job)
    model = SpikingClassifier(encoder, job.net)
    framed = isinstance(encoder, FrameEncoder)
    samples = job.dice.rand(job.drawn.batch, *([job.drawn.steps] if framed else []), *job.drawn.place)
    if len(job.drawn.place) != 3 and not framed:
        samples = samples[:, :, None, None]
    noise = {"seed": job.dice.integer(0, 99), "draw": job.dice.integer(0, 99)}
    job.notes.append(f"{encoder} with {noise}, {'as they are' if getattr(encoder, 'mean', None) is None else 'scaled'}")
    if job.double:
        model, samples = model.double(), samples.double()
    if job.dice.chance(0.3) and getattr(encoder, "gradient", samples) is not None:
        job.leaves.append(samples.requires_grad_())
    found = model.trace(samples, **noise)
    _keep(job.record, "trace", found)
    with torch.no_grad():
        encoded = encoder(samples, **noise)
        job.record["trace logits = stepped"] = _stepped(job.net, encoded)
    job.loss(model(samples, **noise)).backward()


def _encoder(job: Job) -> nn.Module:
    """One for samples that fit the network."""
    kind, steps = job.dice.pick((PoissonEncoder, PoissonEncoder, DirectEncoder, FrameEncoder)), job.drawn.steps
    if kind is FrameEncoder:
        return FrameEncoder(steps)
    channels = job.drawn.place[0]
    scales = {"mean": job.dice.rand(channels), "std": job.dice.rand(channels) + 0.2}
    if kind is DirectEncoder:
        return DirectEncoder(steps, **scales if job.dice.chance(0.7) else {})
    signed, gradient = job.dice.chance(0.7), job.dice.pick((None, straight_through, expected))
    scaled = signed and job.dice.chance(0.7)
    return PoissonEncoder(steps, signed=signed, gradient=gradient, **scales if scaled else {})


def tell(job: Job) -> None:
    """Sequences through their encoder, normalised or as they are, learned from, cut short and traced."""
    job.net.train(job.dice.chance(0.7))
    steps, features = job.drawn.steps, job.drawn.place[0]
    size = job.dice.pick((None, 1, features))
    scales = {} if size is None else {"mean": job.dice.normal(size), "std": job.dice.rand(size) + 0.2}
    model = SpikingClassifier(SequenceEncoder(steps, **scales), job.net)
    samples = job.dice.normal(job.drawn.batch, steps, features)
    if job.dice.chance(0.3):
        samples[:, job.dice.integer(0, steps - 1)] = 0.5  # a step that never varies
    if job.dice.chance(0.3):
        samples = samples.movedim(1, 0).contiguous().movedim(0, 1)
    job.notes.append(f"{model.encoder}, {size} scales, {list(samples.shape)} as {samples.stride()}")
    if job.double:
        model, samples = model.double(), samples.double()
    if job.dice.chance(0.3):
        job.leaves.append(samples.requires_grad_())
    _keep(job.record, "trace", model.trace(samples))
    with torch.no_grad():
        job.record["trace logits = stepped"] = _stepped(job.net, model.encoder(samples))
        with evaluating(job.net):
            job.record["sequence logits"] = model(samples, steps=job.dice.integer(1, steps))
    for _ in range(job.dice.pick((1, 2), (3, 1))):
        job.loss(model(samples)).backward()


def advance(job: Job) -> None:
    """A few steps at a time from a state that is carried on, sometimes cut; sometimes samples leave."""
    if job.dice.chance(0.5):
        job.net.eval()
    x, state, first, loss = job.given(), None, 0, None
    learns = job.dice.chance(0.7)
    while first < len(x):
        last = first + job.dice.integer(1, len(x) - first)
        with contextlib.nullcontext() if learns else torch.no_grad():
            logits, state = job.net.advance(x[first:last], state, measure=Measure(spikes=True))
            for logit in logits:
                more = job.loss(logit)
                loss = more if loss is None else loss + more
        for name, one in state.measured.items():
            job.record[f"advance {first} spikes of {name}"] = one.spikes
        first = last
        if job.dice.chance(0.2):
            state = state.detach()
        if not state.pooled and job.dice.chance(0.3):
            keep = torch.arange(x.shape[1], device=x.device) != job.dice.integer(0, x.shape[1] - 1)
            if keep.any():
                x, state = x[:, keep], state.rows(keep)
    if state is None:  # no steps: both ways refuse them
        job.net.advance(x)
    units = [one for block in state.blocks for one in ([block] if isinstance(block, BlockState) else block)]
    for i, one in enumerate(units):
        if one.membrane is not None:
            job.record[f"trace 1 + membrane {i}"] = 1 + one.membrane.detach()  # thresholds are about 1
    if learns and loss is not None:
        loss.backward()


USES: dict[Callable[[Job], None], float] = {
    learn: 8,
    change_modes: 1.5,
    interleave: 2,
    take_statistics: 1,
    trace: 2,
    classify: 1.5,
    advance: 3,
}
"""How often each."""


@torch.no_grad()
def _stepped(net: SpikingNetwork, x: Tensor) -> Tensor:
    """Logits after every step, block by block."""
    states: list[Any] = [None] * len(net.blocks)
    voltage, logits = None, []
    with evaluating(net):
        for t, spikes in enumerate(x.split(1)):
            spikes, call = spikes.to(next(net.parameters()).dtype), Call(t)
            for i, block in enumerate(net.blocks.values()):
                spikes, states[i] = block(spikes, call, states[i])
            said, voltage = net.readout(spikes, call, voltage)
            logits.append(said)
    return torch.cat(logits)


def _keep(record: dict[str, Any], name: str, found: Trace) -> None:
    record[f"{name} logits"] = found.logits
    record[f"{name} neurons"] = found.neurons
    for layer, counts in found.spikes.items():
        record[f"{name} spikes of {layer}"] = counts


@contextlib.contextmanager
def recorded(job: Job) -> Iterator[None]:
    """Errors are part of the record, as are gradients and buffers afterwards."""
    try:
        yield
    except (AttributeError, NameError):
        raise  # a mistake of ours, which both paths would make alike
    except Exception as error:
        job.record["error"], job.record["message"] = type(error), str(error)
    for i, leaf in enumerate(job.leaves):
        job.record[f"grad of input {i}"] = leaf.grad
    for name, p in job.net.named_parameters():
        job.record[f"grad of {name}"] = p.grad
    for name, buffer in job.net.named_buffers():
        job.record[f"buffer {name}"] = buffer
