"""Cases are what they say: networks at the asked activity, and steps that train or evaluate."""

from dataclasses import replace

import pytest
import torch

from benchmarks import cases
from benchmarks.cases import Case, dense_limit, firing_rates, own_step, step_of, takes_part
from bntt.engine import kernels as backend
from bntt.engine.cpu.library import use_variant
from bntt.engine.graph import stack
from bntt.engine.winograd import InputGrad
from tests.kernels import needs_kernels
from tests.rows import each_row

SMALL = Case("small", num_steps=2, batch=3, width=0.1)


def test_gamma_sets_the_activity():
    busy, quiet = (firing_rates(Case("x", num_steps=4, batch=4, width=0.2, gamma=g)) for g in (1.0, 0.4))
    assert set(busy) == {"conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "conv7", "fc1"}
    assert sum(quiet.values()) < sum(busy.values()) / 2


@needs_kernels
@pytest.mark.parametrize(("kind", "variant"), [("vgg9", "fused"), ("mlp", "reference")])
def test_a_step_of_ours(kind, variant):
    case = Case("x", network=kind, num_steps=2, batch=3, width=0.1)
    step_of(variant, case)()
    evaluated = step_of(variant, replace(case, training=False))()
    assert isinstance(evaluated, torch.Tensor)
    assert not evaluated.requires_grad
    dense_limit(case)()


@needs_kernels
def test_the_dense_limit_takes_gradients_by_the_way_of_our_step(monkeypatch):
    """Winograd's where its shape lets it pay; a limit that goes another way is none."""
    begun, real = [], InputGrad.__init__

    def noted(self, synapse, *args):
        begun.append(synapse.weight.shape)
        real(self, synapse, *args)

    monkeypatch.setattr(InputGrad, "__init__", noted)
    case, ways = Case("x", num_steps=2, batch=3, width=0.25), []
    for variant in ("fused", "dense limit"):
        step_of(variant, case)()
        ways.append(sorted(begun))
        begun.clear()
    assert ways[0] == ways[1]
    assert bool(ways[0]) == (use_variant() != "portable")
    dense_limit(replace(case, training=False))()
    assert not begun


@needs_kernels
def test_a_step_that_computes_again_keeps_the_square_root_of_all_steps(monkeypatch):
    spans = []
    real = stack.span_of
    monkeypatch.setattr(stack, "span_of", lambda *args: spans.append(real(*args)) or spans[-1])
    for variant in ("fused", "recompute"):
        own_step(variant, Case("x", network="mlp", num_steps=10, batch=3, width=0.1))()
    assert spans == [10, 4]


def test_what_is_listed_is_what_can_be_timed(monkeypatch):
    """Peers where they are installed and on the processor, bfloat16 where it has it."""
    monkeypatch.setattr(cases, "find_spec", lambda name: object() if name == "spikingjelly" else None)
    assert {*cases.available()} & {*cases.NORMS_OF} == {"spikingjelly", "spikingjelly unbind"}
    for has in (False, True):
        monkeypatch.setattr(backend, "has_bf16", lambda has=has: has)
        assert any("bf16" in name for name in cases.available()) == has
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert cases.available("cuda") == ["loop", "reference", "fused", "recompute", "dense limit"]


def test_a_peer_is_left_out_of_norms_and_networks_that_it_lacks():
    bntt, tab, residual = Case("x"), Case("x", norm="tab"), Case("x", network="resnet19")
    takes = {name: [takes_part(name, case) for case in (bntt, tab, residual)] for name in ("loop", "fused", "snntorch")}
    assert takes == {"loop": [True] * 3, "fused": [True] * 3, "snntorch": [True, False, False]}


@each_row("norm", cases.COMPARED_NORMS)
def test_every_norm_has_a_loop(norm):
    """Written out for BNTT, of the library's modules for others: step by step, or layer by layer."""
    with torch.random.fork_rng(devices=[]):  # the loop draws its spikes from torch's generator
        step_of("loop", replace(SMALL, norm=norm))()
