"""What neurons do beside their weights: norm, leak, threshold and reset; and what those of an ANN do."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from jaxtyping import Float64
from torch import Tensor, nn

from bntt.analysis.energy.weight_inputs import Site
from bntt.nn.neurons.lif import LIF
from bntt.nn.neurons.rectifier import Rectifier
from bntt.nn.neurons.varying_lif import FoldedLIF
from bntt.nn.norms.temporal import LayerNorm, NoNorm
from bntt.ops.lif import hard_reset


@dataclass(frozen=True)
class Updates:
    """Operations of one layer for one image, beside those of its weights.

    Of every value that is normalised, in a step: a multiplication and an addition, since running statistics, γ and β
    make one scale and one shift; LayerNorm, which takes its statistics of every image, two and three. Without a norm,
    an addition for a bias. Of every neuron, in a step: a multiplication for the leak, unless it is 1, an addition for
    the current and one for the comparison with the threshold; folded neurons scale and shift their current too, and
    neurons that decay their input scale it where no norm's scale takes that in. Of every spike an addition, unless the
    reset is hard.
    """

    multiplications: Float64[Tensor, " T"]
    additions: Float64[Tensor, " T"]
    ann: int
    """Additions of an ANN in its one pass: a bias, which takes the norm in, and the comparison of ReLU."""


def updates_of(site: Site, *, spikes: Float64[Tensor, " T"]) -> Updates:
    """Of one layer, in every step.

    Args:
        spikes: of its neurons.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> from bntt.analysis.energy.weight_inputs import Value
    >>> site = Site(Value((3,), None), (2,), nn.Linear(3, 2, False, "meta"), BNTT(2, num_steps=1), LIF(0.9))
    >>> updates_of(site, spikes=torch.ones(1).double())
    Updates(multiplications=tensor([4.], dtype=torch.float64), additions=tensor([7.], dtype=torch.float64), ann=4)
    """
    multiplications, additions = _of_norm(site.norm)
    biased = site.weights is not None and site.weights.bias is not None
    if site.norm is None or isinstance(site.norm, NoNorm):
        additions += biased
    ann = int(biased or additions > 0)
    resets = 0
    if site.lif is not None:
        scales, adds, resets = _of_neuron(site.lif)
        if multiplications == 0 and isinstance(site.lif, LIF):
            scales += site.lif.neuron.decay_input
        multiplications, additions, ann = multiplications + scales, additions + adds, ann + 1
    size, none = prod(site.out), spikes * 0
    return Updates(none + size * multiplications, none + size * additions + resets * spikes, size * ann)


def _of_norm(norm: nn.Module | None) -> tuple[int, int]:
    """Multiplications and additions of every value."""
    if norm is None or isinstance(norm, NoNorm):
        return 0, 0
    return (2, 3) if isinstance(norm, LayerNorm) else (1, 1)


def _of_neuron(lif: nn.Module) -> tuple[int, int, int]:
    """Multiplications and additions of every neuron, and additions of every spike."""
    if isinstance(lif, Rectifier):
        return 0, 1, 0  # the comparison with 0
    if not isinstance(lif, LIF | FoldedLIF):
        return 1, 2, 1
    leaks = isinstance(lif.neuron.leak, Tensor) or lif.neuron.leak != 1
    own, resets = int(isinstance(lif, FoldedLIF)), int(lif.neuron.reset is not hard_reset)
    return own + int(leaks), own + 2, resets
