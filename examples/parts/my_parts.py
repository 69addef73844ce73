"""One part of each kind, loaded by ``bntt --with my_parts.py``; docs/how-to/extending.md says what each must do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import nn

import bntt
from bntt.analysis import Result, Shown, Split
from bntt.charts import Cell, Section, Table, number
from bntt.data import ImageSet, Splits
from bntt.nn import Call, EncoderFacts, NeuronFacts, NormFacts, Triangle, check_values, steps_of
from bntt.ops.lif import soft_reset
from bntt.ops.random import Purpose, sample_keys, uniform
from bntt.ops.spike import fire

TRIANGLE = Triangle()


@bntt.register.norm("rms")
class RMSNorm(nn.Module):
    """Divides by the root mean square over channels; one γ for every step."""

    facts = NormFacts(step_gamma=True)

    def __init__(self, channels, num_steps):
        super().__init__()
        self.num_steps = num_steps
        self.gamma = nn.Parameter(torch.ones(num_steps, channels))

    def forward(self, x, call=Call(), state=None):
        scale = x.square().mean(2, keepdim=True).add(1e-4).rsqrt()
        return self.gamma[call.steps(x)].reshape(len(x), 1, -1, *[1] * (x.ndim - 3)) * x * scale, None

    def step_tables(self):
        yield "gamma", self.gamma


@bntt.register.neuron("adaptive")
class Adaptive(nn.Module):
    """A threshold that rises with every spike, and decays."""

    facts = NeuronFacts(waits=False)

    def __init__(self, leak=0.95, surrogate=TRIANGLE, reset=soft_reset):
        super().__init__()
        self.leak, self.surrogate, self.reset = leak, surrogate, reset

    def forward(self, current, call=Call(), state=None):
        u, raised = (torch.zeros_like(current[0]),) * 2 if state is None else state
        out = []
        for drive in current:
            u = self.leak * u + drive
            spikes = fire(u - raised, 1.0, self.surrogate)
            u, raised = self.reset(u, spikes.detach(), 1.0), 0.8 * raised + 0.2 * spikes.detach()
            out.append(spikes)
        return torch.stack(out), (u, raised)


@bntt.register.surrogate("bell")
def bell(v):
    """A Gaussian of the distance to the threshold, 0.3 at the threshold."""
    return 0.3 * (-v.square()).exp()


@bntt.register.reset("half")
def half(membrane, spikes, threshold):
    """Subtract half the threshold."""
    return membrane - threshold / 2 * spikes


@bntt.register.augmentation("upside-down")
def upside_down(images, *, seed, draw, index):
    """Mirror up and down, each image with probability one half."""
    keys = sample_keys(seed + 1, Purpose.FLIP, draw, index.to(images.device))  # not the numbers of "flip"
    heads = uniform(keys) < 0.5
    return torch.where(heads.view(-1, 1, 1, 1), images.flip(2), images)


@bntt.register.encoder("latency")
class Latency:
    """Every pixel fires once, a white one at the first step."""

    facts = EncoderFacts()

    def __init__(self, num_steps):
        self.num_steps = num_steps

    def __call__(self, x, *, seed=0, index=None, draw=0, steps=None, compact=False):
        check_values(x, "pixels")
        when = ((1 - x) * self.num_steps).floor().clamp(max=self.num_steps - 1)
        return torch.stack([(when == t).to(x.dtype) for t in steps_of(steps, self.num_steps)])


@bntt.register.dataset("stripes", licence="MIT", classes=2, shape=(1, 8, 8))
def stripes():
    """Make noisy stripes, across or down."""
    generator = torch.Generator().manual_seed(0)
    sets = []
    for count in (200, 60):
        labels = torch.arange(count) % 2
        pixels = torch.randint(0, 60, (count, 1, 8, 8), generator=generator)
        pixels[labels == 0, :, ::2] += 180
        pixels[labels == 1, :, :, ::2] += 180
        sets.append(ImageSet(pixels.to(torch.uint8), labels, ("across", "down")))
    return Splits(*sets)


@bntt.register.network("two-layers")
def two_layers(*, in_features, num_classes, num_steps, leak=0.95, norm="bntt", width=1.0, **options):
    """Two hidden layers of 32 neurons."""
    hidden = round(32 * width)
    return bntt.models.mlp(
        in_features=in_features,
        hidden=(hidden, hidden),
        num_classes=num_classes,
        num_steps=num_steps,
        leak=leak,
        norm=norm,
        **options,
    )


@dataclass(frozen=True)
class LargestArguments:
    split: Split = "test"
    """Where the files belong."""


class LargestResult(Result):
    arguments: LargestArguments
    largest: Mapping[str, float]

    @property
    def of_fc2(self) -> Annotated[float, Shown("largest weight of fc2", metric="largest")]:
        return self.largest["fc2"]

    def rows(self):
        return [{"layer": name, "largest": value} for name, value in self.largest.items()]

    def section(self):
        cells = tuple((Cell(name), number(value)) for name, value in self.largest.items())
        return Section("Largest weights", tables=(Table("largest weights", ("layer", ""), cells),))


@bntt.register.measurement("largest")
def largest(run, asked: LargestArguments, progress) -> LargestResult:
    """Find the largest weight of each layer."""
    layers = run.model.network.layers.items()
    found = {name: max(float(one.detach().abs().max()) for one in part.synapse.parameters()) for name, part in layers}
    return LargestResult(arguments=asked, dataset=run.dataset, split=asked.split, largest=found)
