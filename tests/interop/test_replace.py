"""Batch normalisation of plain PyTorch networks replaced: everything taken over, or refused by name."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

import bntt
from bntt import interop
from bntt.interop import replace_batchnorm
from bntt.nn.norms import ScaledBNTT
from tests.rows import each_row

T = 4


def network(rng: torch.Generator, *, shift: bool = False) -> nn.Sequential:
    """Statistics and γ as a training may leave them; ReLUs, so that every step is the same."""
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, eps=1e-3, momentum=0.2), nn.ReLU(), nn.Flatten())
    net.append(nn.Linear(48, 5)).append(nn.BatchNorm1d(5))
    for norm in (net[1], net[5]):
        norm.running_mean.normal_(0, 0.5, generator=rng)
        norm.running_var.uniform_(0.5, 2, generator=rng)
        nn.init.uniform_(norm.weight, -1, 2, generator=rng)
        if shift:
            nn.init.normal_(norm.bias, generator=rng)
    return net


@each_row("norm", ["bntt-beta", "bn", "tab"])
def test_the_network_says_what_it_said(norm, rng):
    net = network(rng, shift=True).eval()
    net[1].requires_grad_(False)
    before = copy.deepcopy(net)
    assert replace_batchnorm(net, T, norm=norm) is net
    for place, learns in ((1, False), (5, True)):
        assert (net[place].norm.gamma.requires_grad, net[place].norm.beta.requires_grad) == (learns, learns)
    images = torch.randn(T, 6, 2, 6, 6, generator=rng)
    for now in images:
        assert torch.allclose(net(now), before(now), atol=1e-5)
    with pytest.raises(ValueError, match="'1'"):
        net(images[0])
    interop.reset(net)
    made = net[1].norm
    assert (made.eps, made.momentum, made.training, len(made)) == (1e-3, 0.2, False, T)
    assert torch.equal(made.beta[-1], before[1].bias)


def test_a_shift_is_never_dropped_and_nothing_changes_where_one_is_refused(rng):
    net = network(rng)
    nn.init.ones_(net[5].bias)
    with pytest.raises(ValueError, match="'5' has a learned β"):
        replace_batchnorm(net, T)
    assert isinstance(net[1], nn.BatchNorm2d)
    nn.init.zeros_(net[5].bias)
    replace_batchnorm(net.double(), T)
    assert isinstance(net[1].norm, bntt.BNTT)
    assert net[1].norm.gamma.dtype == torch.float64


def test_a_loop_inside_forward_begins_anew_by_itself(rng):
    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return sum(self.body(now) for now in x)

    net = replace_batchnorm(Looped(), T, loop="inside").eval()
    with torch.no_grad():
        net.body[1].norm.gamma.mul_(torch.arange(1.0, T + 1)[:, None])
    x = torch.randn(T, 6, 4, generator=rng)
    each = [(t + 1) * net.body[0](now) for t, now in enumerate(x)]
    for steps in (T, 2, 3, T):  # a call that stopped early leaves nothing to the next
        for one in (copy.deepcopy(net), net):
            assert torch.allclose(one(x[:steps]), sum(each[:steps]), atol=1e-3)


class NorseCell(nn.Module):
    """As Norse's: it takes a state, and returns one."""

    __module__ = "norse.torch.module.lif"

    def forward(self, x: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        now = x if state is None else 0.5 * state + x
        return now, now


def test_a_loop_of_ones_own_over_cells_of_norse_gets_tensors(rng):
    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.bn, self.lif = nn.Linear(4, 3), nn.BatchNorm1d(3), NorseCell()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out, state = torch.zeros(()), None
            for now in x:
                now, state = self.lif(self.bn(self.fc(now)), state)
                out = out + now
            return out

    net, x = Looped().eval(), torch.randn(T, 6, 4, generator=rng)
    wanted = net(x)
    torch.testing.assert_close(replace_batchnorm(net, T, loop="inside")(x), wanted, atol=1e-3, rtol=1e-3)


class SeqToANNContainer(nn.Sequential):
    """As SpikingJelly's."""


class Own(SeqToANNContainer):
    """As its users derive from it."""


class Halved(nn.BatchNorm1d):
    """As tdBN is often written."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * super().forward(x)


def test_a_norm_with_a_scale_stands_for_one_without_affine(rng):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False)).eval()
    x = torch.randn(6, 4, generator=rng)
    wanted = net(x)
    replace_batchnorm(net, 1, norm=lambda channels, steps, _: ScaledBNTT(channels, steps, alpha=0.5))
    torch.testing.assert_close(net(x), wanted)


def with_hook(network: nn.Module) -> nn.Module:
    network[0].register_forward_hook(lambda norm, args, out: 2 * out)
    return network


def computed(network: nn.Module, name: str = "weight") -> nn.Module:
    register_parametrization(network[0], name, nn.Tanh())
    return network


SHARED = nn.BatchNorm1d(3)
REFUSED = [
    (nn.ModuleDict({"a": SHARED, "b": SHARED}), {}, ValueError, "'b' is 'a'"),
    (nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)), {}, ValueError, "'0' .*running statistics"),
    (nn.BatchNorm1d(3), {}, ValueError, "itself"),
    (nn.Sequential(Own(nn.BatchNorm1d(3))), {}, ValueError, r"'0\.0'"),
    (nn.Sequential(Halved(3)), {}, ValueError, "'0' .*forward"),
    (with_hook(nn.Sequential(nn.BatchNorm1d(3))), {}, ValueError, "'0' has a hook"),
    (computed(nn.Sequential(nn.BatchNorm1d(3))), {}, ValueError, "'0' has a parametrization"),
    (nn.Sequential(nn.Linear(2, 2)), {}, ValueError, "Sequential"),
    (
        nn.Sequential(nn.BatchNorm1d(3)),
        {"norm": lambda channels, steps, _: computed([bntt.BNTT(channels, steps)], "gamma")[0]},
        ValueError,
        "'gamma'",
    ),
    (nn.Sequential(nn.BatchNorm1d(3)), {"norm": "layer"}, TypeError, "LayerNorm"),
    (nn.Sequential(nn.BatchNorm1d(3)), {"norm": "bnt"}, ValueError, "'bnt'"),
    (nn.Sequential(nn.BatchNorm1d(3)), {"loop": "Inside"}, ValueError, "loop"),
]


@each_row("network, options, error, named", REFUSED)
def test_what_no_norm_can_stand_for_is_refused_by_name(network, options, error, named, no_hook):
    with pytest.raises(error, match=named):
        replace_batchnorm(network, T, **options)
