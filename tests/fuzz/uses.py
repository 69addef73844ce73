"""Ways of using a network. Each fills a record of named tensors, which both paths must fill alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import Any

import torch
from torch import Tensor, func, nn

from bntt.engine.compute import Compute
from bntt.engine.graph.recording import Measure
from bntt.nn.blocks import BlockState
from bntt.nn.call import Call, evaluating
from bntt.nn.encoders import DirectEncoder, FrameEncoder, PoissonEncoder, SequenceEncoder
from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.network.spiking_network import SpikingNetwork, Trace
from bntt.nn.norms import TemporalNorm
from bntt.ops.poisson import expected, straight_through
from tests.fuzz.networks import CLASSES, Dice, Drawn, weighted

INPUTS = {
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
    kind = dice.pick(list(INPUTS))
    layout = dice.pick(("plain", "strided", "expanded", "channels last"), (6, 1, 1.5, 1.5))
    shape: tuple[int, ...] = (steps, batch, *place)
    if layout == "expanded":
        shape = shape[1:]
    elif layout == "strided":
        shape = (*shape[:-1], 2 * shape[-1])
    elif layout == "channels last":
        shape = (steps, batch, *place[1:], place[0])
    values = INPUTS[kind](dice, shape)
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


def sometimes_plain(job: Job, dice: Dice) -> None:
    """Judge plain PyTorch itself, where what is around it may lead it astray too."""
    if dice.chance(0.2) and job.ours:
        job.net.compute = Compute("reference")


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


def transform(job: Job) -> None:
    """Gradients of the weights, of the input, along a direction, and one sample after another."""
    job.net.eval()
    x = job.given()
    x = x.detach().to(torch.float64 if job.double else torch.float32)
    towards = job.dice.normal(x.shape[1], 3).to(x.dtype)
    way = job.dice.pick((weights, along_input, along_direction, sample_by_sample))
    job.notes.append(way.__name__)
    way(job, x, towards)


def weights(job: Job, x: Tensor, towards: Tensor) -> None:
    held = {name: p.detach() for name, p in job.net.named_parameters()}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return (func.functional_call(job.net, values, (x,)) * towards).sum()

    if job.ours:
        found = func.grad(loss)(held)
    else:
        leaves = {name: p.clone().requires_grad_() for name, p in held.items()}
        given = torch.autograd.grad(loss(leaves), list(leaves.values()), allow_unused=True)
        found = dict(zip(leaves, given, strict=True))
    for name, grad in found.items():
        job.record[f"grad by transform of {name}"] = grad


def along_input(job: Job, x: Tensor, towards: Tensor) -> None:
    if job.ours:
        out, pull = func.vjp(job.net, x)
        job.record["logits"], job.record["grad by vjp"] = out, pull(towards)[0]
        return
    leaf = x.clone().requires_grad_()
    out = job.net(leaf)
    job.record["logits"] = out.detach()
    job.record["grad by vjp"] = torch.autograd.grad(out, leaf, towards)[0]


def along_direction(job: Job, x: Tensor, towards: Tensor) -> None:
    """The sum of a tangent against an output is the same both ways round."""
    x = x.contiguous()  # PyTorch's jvp takes no expanded tensor of any function
    direction = job.dice.normal(*x.shape).to(x.dtype)
    if job.ours:
        out, tangent = func.jvp(job.net, (x,), (direction,))
        job.record["logits"], job.record["grad along"] = out, (tangent * towards).sum()
        return
    leaf = x.clone().requires_grad_()
    out = job.net(leaf)
    job.record["logits"] = out.detach()
    job.record["grad along"] = (torch.autograd.grad(out, leaf, towards)[0] * direction).sum()


def sample_by_sample(job: Job, x: Tensor, towards: Tensor) -> None:
    one: Callable[[Tensor], Tensor] = lambda sample: job.net(sample[:, None])[0]  # noqa: E731
    if job.ours:
        job.record["logits"] = func.vmap(one, in_dims=1)(x)
        return
    job.record["logits"] = torch.stack([one(sample) for sample in x.unbind(1)]).detach()


INTEGERS = (torch.int32, torch.int16, torch.int8, torch.uint8, torch.int64)


def name_samples(job: Job) -> None:
    """Dropout's masks and the encoder's spikes; the standard names the samples in int64."""
    sometimes_plain(job, job.dice)
    dtype, batch = job.dice.pick(INTEGERS), job.drawn.batch
    index = torch.tensor([job.dice.integer(0, 120) for _ in range(batch)]).to(dtype if job.ours else torch.int64)
    noise = {"seed": job.dice.integer(0, 99), "draw": job.dice.integer(0, 99), "index": index}
    job.notes.append(f"index {dtype}")
    if len(job.drawn.place) == 1:
        job.loss(job.net(job.given(batch), **noise)).backward()
        return
    encoder = PoissonEncoder(job.drawn.steps, gradient=job.dice.pick((None, expected)))
    model, images = SpikingClassifier(encoder, job.net), _images(job)
    job.record["trace logits"] = model.trace(images, **noise).logits
    job.loss(model(images, **noise)).backward()


def _images(job: Job) -> Tensor:
    images = job.dice.rand(job.drawn.batch, *job.drawn.place)
    return images.double() if job.double else images


THREADS = 4


def stream(job: Job) -> None:
    """Some steps at a time, without gradients, in evaluation."""
    job.net.eval()
    _stream(job, lambda: None)


def stream_while_it_changes(job: Job) -> None:
    """And between two calls something changes."""
    job.net.eval()
    with torch.no_grad():
        for p in job.net.parameters():
            p.requires_grad_()

    def change() -> None:
        way = job.dice.pick(list(CHANGES), list(CHANGES.values()))
        job.notes.append(way.__name__)
        way(job)

    _stream(job, change)


def _stream(job: Job, between: Callable[[], None]) -> None:
    x, state, first = job.given(), None, 0
    again = job.dice.integer(1, 2)
    while first < len(x):
        last = min(len(x), first + again)
        before = state
        for call in ("first", "second", "third"):  # which a chain of the second may answer
            with torch.no_grad():
                logits, state = job.net.advance(x[first:last], before)
            for t, logit in enumerate(logits, start=first):
                job.record[f"logits after {t}, {call} call"] = logit
        first = last
        between()


def _layer(job: Job) -> nn.Linear | nn.Conv2d:
    """One of a block; seldom the readout's."""
    *blocks, readout = weighted(job.net).values()
    return readout if job.dice.chance(0.1) else job.dice.pick(blocks)


def new_bias(job: Job) -> None:
    layer = _layer(job)
    layer.bias = nn.Parameter(job.dice.like(layer.weight, len(layer.weight)))


def no_bias(job: Job) -> None:
    _layer(job).bias = None


def new_weight(job: Job) -> None:
    layer = _layer(job)
    layer.weight = nn.Parameter(job.dice.like(layer.weight, *layer.weight.shape))


@torch.no_grad()
def in_place(job: Job) -> None:
    for p in _layer(job).parameters():
        p.mul_(-0.7)


def swapped(job: Job) -> None:
    layer = _layer(job)
    torch.utils.swap_tensors(layer.weight, nn.Parameter(job.dice.like(layer.weight, *layer.weight.shape)))


def stepped(job: Job) -> None:
    """By an optimizer, in each of the ways that PyTorch has."""
    how = job.dice.pick(({"fused": True}, {"fused": True}, {"foreach": True}, {"foreach": False}))
    kind = job.dice.pick((torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW))
    job.notes.append(f"{kind.__name__} {how}")
    floats = [p for p in job.net.parameters() if p.is_floating_point()]
    for p in floats:
        p.grad = job.dice.like(p, *p.shape)
    kind(floats, lr=0.3, **how).step()
    for p in floats:
        p.grad = None


@torch.no_grad()
def other_statistics(job: Job) -> None:
    """Of one norm, and its gain."""
    norms = [one for one in job.net.modules() if isinstance(one, TemporalNorm)]
    if norms:
        norm = job.dice.pick(norms)
        for table in (norm.gamma, norm.running_mean, norm.running_var):
            table.mul_(1.3)


def hooked(job: Job) -> None:
    """A layer whose output a hook changes from here on."""
    _layer(job).register_forward_hook(lambda layer, args, out: out * 0.8)


def loaded(job: Job) -> None:
    kept = {
        name: job.dice.like(value, *value.shape) if name.endswith((".weight", ".bias")) else value.clone()
        for name, value in job.net.state_dict().items()
    }
    job.net.load_state_dict(kept, assign=job.dice.chance(0.4))


CHANGES: dict[Callable[[Job], None], float] = {
    new_bias: 3,
    no_bias: 1,
    new_weight: 1,
    in_place: 1,
    swapped: 1,
    other_statistics: 2,
    hooked: 0.3,
    stepped: 4,
    loaded: 1,
}
"""How often each."""


def share_a_state(job: Job) -> None:
    """Threads that go on from one state at once, whose weights are packed or have just changed."""
    job.net.eval()
    x, state = job.given(), None
    with torch.no_grad():
        if len(x) > 1:
            job.record["logits before"], state = job.net.advance(x[:1], state)
            x = x[1:]
        if job.dice.chance(0.8):
            for layer in weighted(job.net).values():
                layer.weight.mul_(-0.7)
    together = Barrier(THREADS if job.ours else 1)

    def go_on(number: int) -> Tensor:
        together.wait(20)
        with torch.no_grad():
            return job.net.advance(x, state)[0]

    with ThreadPoolExecutor(THREADS) if job.ours else ThreadPoolExecutor(1) as pool:
        found = list(pool.map(go_on, range(THREADS)))
    for number, logits in enumerate(found):
        job.record[f"logits of thread {number}"] = logits


def after_inference(job: Job) -> None:
    """A state made in inference mode goes on outside of it, with gradients or without."""
    job.net.eval()
    x = job.given()
    inside = max(1, len(x) - 1)
    with torch.inference_mode(job.ours):
        job.record["logits inside"], state = job.net.advance(x[:inside].detach())
    if inside == len(x):
        return
    learns = job.dice.chance(0.6)
    with torch.set_grad_enabled(learns):
        logits, state = job.net.advance(x[inside:], state if job.ours else state.detach())
        loss = job.loss(logits[-1])
    if learns and loss.requires_grad:
        loss.backward()


def learn_in_parts(job: Job) -> None:
    """Each part's gradient stops at the state that it began from; sometimes two parts are one."""
    x, state, first = job.given(), None, 0
    while first < len(x):
        last = first + job.dice.integer(1, max(1, len(x) // 2))
        logits, after = job.net.advance(x[first:last], state)
        job.loss(logits[-1]).backward(retain_graph=True)
        state, first = after.detach(), last
