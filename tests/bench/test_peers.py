"""The peers' networks, where the peers are installed; the parts that need none of them, always."""

import copy

import pytest
import torch

from bntt.bench import peers
from bntt.bench.cases import Case, network
from bntt.bench.parity import check_parity
from bntt.nn import BNTT


def test_the_per_step_list_is_the_temporal_norm(rng):
    ours = BNTT(5, num_steps=4)
    with torch.no_grad():
        ours.gamma.copy_(torch.rand(4, 5, generator=rng))
    list_of_norms = peers.Unbound(peers._norms_of(ours, conv=True))
    x = torch.randn(4, 3, 5, 6, 6, generator=rng)
    assert torch.allclose(list_of_norms(x), ours(x)[0], atol=1e-5)
    assert all(norm.bias is None for norm in list_of_norms.norms)


@pytest.mark.parametrize("name", ["spikingjelly", "spikingjelly unbind"])
def test_spikingjelly_computes_the_same(name):
    pytest.importorskip("spikingjelly")
    assert [row.variant for row in check_parity([name])] == [name]


def test_snntorch_runs_but_is_another_model():
    pytest.importorskip("snntorch")
    case = Case("x", num_steps=3, batch=2, width=0.1)
    net = network(case)
    assert peers.SnnTorch(copy.deepcopy(net), torch.zeros(3, 2, 3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
