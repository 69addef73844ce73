"""Networks as others write them, from their equations, in plain PyTorch: what an imported file is compared with.

Written from the shapes and the published equations, not from anybody's code. Each is a loop over time with T modules of
batch normalisation for a layer; names of the entries are those that files of the three layouts have.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

VGG6 = (1, (16, 16, "P", 32, 32, "P"), 7 * 7, 128)
VGG9 = (3, (64, 64, "P", 128, 128, "P", 256, 256, 256, "P"), 4 * 4, 1024)
Plan = tuple[int, Sequence[int | str], int, int]


class Loop(nn.Module):
    """C-BNTT-LIF layers, a pool where the plan says P, two fully connected layers; the voltage divided by T."""

    def __init__(self, plan: Plan, num_steps: int, classes: int = 10, width: float = 1.0, eps: float = 1e-4) -> None:
        super().__init__()
        self.num_steps, self.leak, self.convs, self.pooled = num_steps, 0.95, list[str](), set[str]()
        with torch.random.fork_rng(devices=[]):  # start weights are drawn, and put aside
            self._make(plan, classes, width, eps)

    def _make(self, plan: Plan, classes: int, width: float, eps: float) -> None:
        channels, layers, pixels, hidden = plan
        for layer in layers:
            if layer == "P":
                self.pooled.add(self.convs[-1])
                continue
            size = int(int(layer) * width)
            self.convs.append(f"conv{len(self.convs) + 1}")
            setattr(self, self.convs[-1], nn.Conv2d(channels, size, 3, padding=1, bias=False))
            setattr(self, f"bntt{len(self.convs)}", self._norms(nn.BatchNorm2d, size, eps))
            channels = size
        hidden = int(hidden * width)
        self.fc1 = nn.Linear(channels * pixels, hidden, bias=False)
        self.bntt_fc = self._norms(nn.BatchNorm1d, hidden, eps)
        self.fc2 = nn.Linear(hidden, classes, bias=False)

    def _norms(self, kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d], size: int, eps: float) -> nn.ModuleList:
        made = nn.ModuleList([kind(size, eps=eps, momentum=0.1) for _ in range(self.num_steps)])
        for norm in made:
            norm.bias = None
        return made

    def randomize(self, seed: int = 0) -> Loop:
        """Weights and statistics as a training may leave them."""
        generator = torch.Generator().manual_seed(seed)
        for name, value in self.state_dict().items():
            if "num_batches" in name:
                value.fill_(seed + 3)
            elif name.endswith("running_mean"):
                value.normal_(0, 0.2, generator=generator)
            elif name.endswith("running_var"):
                value.uniform_(0.05, 0.4, generator=generator)
            elif value.ndim == 1:
                value.uniform_(0.2, 1.2, generator=generator)
            else:
                value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        return self.eval()

    def reset(self, potential: Tensor, spikes: Tensor) -> Tensor:
        return potential - spikes

    def neurons(self, name: str, drive: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """u = λu + y; o = [u > 1]; u = u - o."""
        potential = self.leak * kept[name] + drive if name in kept else drive
        spikes = (potential > 1).to(drive)
        kept[name] = self.reset(potential, spikes)
        return spikes

    def forward(self, spikes: Tensor) -> Tensor:
        """``[T, B, C, H, W]`` → ``[B, K]``."""
        kept: dict[str, Tensor] = {}
        voltage = spikes.new_zeros(())
        for t in range(self.num_steps):
            x = spikes[t]
            for i, name in enumerate(self.convs, 1):
                x = self.neurons(name, getattr(self, f"bntt{i}")[t](getattr(self, name)(x)), kept)
                x = nn.functional.avg_pool2d(x, 2) if name in self.pooled else x
            x = self.neurons("fc1", self.bntt_fc[t](self.fc1(x.flatten(1))), kept)
            voltage = voltage + self.fc2(x)
        return voltage / self.num_steps


class Delayed(Loop):
    """With snnTorch's reset: what was above θ before is taken away as well, so a spike's rest cannot fire at once."""

    def neurons(self, name: str, drive: Tensor, kept: dict[str, Tensor]) -> Tensor:
        before = kept.get(name, torch.zeros_like(drive))
        late = (before > 1).to(drive)
        potential = self.leak * before + drive - late
        spikes = (potential > 1).to(drive)
        kept[name] = potential - (spikes - late)
        return spikes


def make_even(net: nn.Module) -> None:
    """Drives of nearly one size below θ, so that no potential has more than θ left after a spike."""
    for name, value in net.state_dict().items():
        if name.endswith("running_mean"):
            value.fill_(-0.5)
        elif name.endswith("running_var"):
            value.fill_(0.4)
        elif name.endswith("weight"):
            value.mul_(0.2 if value.ndim > 1 else 0.8)


def released(loop: Loop) -> dict[str, object]:
    """What the released code saves."""
    return {"global_step": 100, "state_dict": loop.state_dict(), "accuracy": 90.5}


def spikingjelly(loop: Loop) -> OrderedDict[str, Tensor]:
    """A sequential network of its layers: weights in a container, norms with ``bn_list``."""
    places = _in_order(loop)
    return OrderedDict(
        (f"net.{place}.bn_list.{rest}" if norm else f"net.{place}.0.{rest}", value)
        for place, norm, rest, value in places
    )


def snntorch(loop: Loop) -> OrderedDict[str, Tensor]:
    """Lists of layers as its tutorials have them, with what its neurons keep."""
    found = OrderedDict(
        (f"{'norms' if norm else 'synapses'}.{place}.{rest}", value) for place, norm, rest, value in _in_order(loop)
    )
    for i in range(len(loop.convs) + 1):
        for key, value in (("threshold", 1.0), ("graded_spikes_factor", 1.0), ("reset_mechanism_val", 0)):
            found[f"lifs.{i}.{key}"] = torch.tensor(value)
        found[f"lifs.{i}.beta"] = torch.tensor(loop.leak)
    return found


def _in_order(loop: Loop) -> list[tuple[int, bool, str, Tensor]]:
    found = []
    for place, name in enumerate([*loop.convs, "fc1", "fc2"]):
        found.append((place, False, "weight", getattr(loop, name).weight.detach()))
        norm = {"fc1": "bntt_fc", "fc2": ""}.get(name, f"bntt{place + 1}")
        if norm:
            found += [(place, True, key, value) for key, value in getattr(loop, norm).state_dict().items()]
    return found


def saved(content: object, *, old: bool = False) -> bytes:
    """The bytes of a file of ``torch.save``; of one from before PyTorch 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file.getvalue()
