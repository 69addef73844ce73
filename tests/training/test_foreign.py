"""Networks of other makers, run beside ours with the same weights; and state dicts that have no place here."""

import math

import pytest
import torch

from bntt.io.checkpoint import CheckpointError
from bntt.models import mlp, resnet20, vgg6, vgg9
from bntt.training.foreign import LAYOUTS, as_ours, read_foreign
from tests.foreign import VGG6, VGG9, Delayed, Loop, make_even, released, snntorch, spikingjelly
from tests.rows import each_row

STATES = {"released": lambda loop: released(loop)["state_dict"], "spikingjelly": spikingjelly, "snntorch": snntorch}


def small(**options):
    return vgg6(width=0.25, num_steps=3, **options)


def loop_of(kind=Loop, **options):
    return kind(VGG6, 3, width=0.25, **options).randomize(1)


def spikes(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).lt(0.4).double()


CASES = [
    *((name, loop_of(eps=eps), small(norm_eps=eps), (3, 5, 1, 28, 28)) for name, eps in LAYOUTS.items()),
    ("released", Loop(VGG9, 2).randomize(2), vgg9(num_steps=2), (2, 1, 3, 32, 32)),
]


@each_row("layout, loop, net, shape", CASES)
def test_logits_are_those_of_the_other_network(layout, loop, net, shape):
    """In float64, where no tie of rounding flips a spike; ε is each layout's own. And the paper's in full size."""
    foreign = read_foreign(STATES[layout](loop))
    assert foreign.layout == layout
    net.load_state_dict(as_ours(foreign, net))
    x = spikes(shape)
    theirs, ours = loop.double()(x), net.double().eval()(x)
    assert theirs.std() > 0.1
    assert (theirs - ours).abs().max() < 1e-12


def test_snntorchs_reset_is_ours_where_no_rest_is_above_the_threshold():
    """Its `reset_delay=False` also takes away what was above θ before; even drives leave none."""
    even, strong, x = loop_of(Delayed), loop_of(Delayed), spikes((3, 5, 1, 28, 28))
    make_even(even)
    for loop, equal in ((even, True), (strong, False)):
        net = small(norm_eps=1e-4)
        net.load_state_dict(as_ours(read_foreign(snntorch(loop)), net))
        theirs, ours = loop.double()(x), net.double().eval()(x)
        assert theirs.std() > 0.05
        assert ((theirs - ours).abs().max() < 1e-13) == equal


def test_fully_connected_layers_behind_a_flattened_input(rng):
    net = mlp(in_features=4, hidden=(6, 6), num_classes=3, num_steps=2, seed=5)
    state = {}
    for layer in ("fc1", "fc2"):
        block = net.blocks[layer]
        state[f"{layer}.weight"] = next(p for n, p in block.synapse.named_parameters() if n.endswith("weight")).detach()
        for t in range(2):
            named = (block.norm.gamma.detach(), block.norm.running_mean, block.norm.running_var)
            keys = ("weight", "running_mean", "running_var")
            state |= {f"norm{layer}.{t}.{key}": table[t] for key, table in zip(keys, named, strict=True)}
    state["out.weight"] = net.readout.synapse.weight.detach()
    other = mlp(in_features=4, hidden=(6, 6), num_classes=3, num_steps=2, seed=6)
    other.load_state_dict(as_ours(read_foreign(state, "snntorch"), other))
    x = torch.randn(2, 5, 4, generator=rng)
    assert torch.equal(other.eval()(x), net.eval()(x))


def test_leak_and_wrapper_are_read():
    loop = loop_of()
    assert read_foreign(snntorch(loop)).leak == pytest.approx(0.95)
    assert read_foreign(loop.state_dict()).leak is None
    state = snntorch(loop)
    for name in [name for name in state if name.endswith(".beta")]:
        state[name] = torch.tensor(math.exp(-1 / 20))
    assert torch.tensor(read_foreign(state).leak) == torch.tensor(math.exp(-1 / 20)), "not rounded to six decimals"
    wrapped = read_foreign({f"module.{name}": value for name, value in loop.state_dict().items()})
    assert wrapped.layout == "released"
    assert "module." in wrapped.notes[0]


def without(*parts):
    """A change that takes out every entry whose name has one of these parts."""
    return lambda state: [state.pop(name) for name in [*state] if any(part in name for part in parts)]


RELEASED = [
    ("conv2.weight is missing", without("conv2.weight")),
    ("fc2.weight is missing", without("fc2.weight")),
    ("bntt_fc is missing", without("bntt_fc")),
    ("conv9.weight is unexpected", lambda s: s.update({"conv9.weight": torch.ones(1, 1, 3, 3)})),
    ("counterpart .*fc2.bias", lambda s: s.update({"fc2.bias": torch.ones(10)})),
    ("counterpart .*bntt1.0.bias", lambda s: s.update({"bntt1.0.bias": torch.ones(4)})),
    ("steps T, .*bntt1 3, bntt2 2", without("bntt2.2.")),
    ("missing, .*bntt2.0", without("bntt2.0.")),
    ("missing, .*bntt2.1.running_var", without("bntt2.1.running_var")),
    ("^bn is one norm", lambda s: s.update({"bn.running_mean": torch.ones(4)})),
    (r"bntt2.\*.weight", lambda s: s.update({"bntt2.1.weight": torch.ones(5)})),
    ("bntt1 .*negative variance", lambda s: s["bntt1.1.running_var"].fill_(-1e-3)),
    ("fc2.weight .*float16", lambda s: s.update({"fc2.weight": s["fc2.weight"].half()})),
    (r"fc1.weight .*\[392, 32\]", lambda s: s.update({"fc1.weight": s["fc1.weight"].T})),
    (r"conv1.weight .*\[8, 1, 3, 3\]", lambda s: s.update({"conv1.weight": torch.ones(8, 1, 3, 3)})),
    ("steps T", dict.clear),
]
SNNTORCH = [
    ("leaks", lambda s: s["lifs.1.beta"].fill_(0.9)),
    ("lifs.0.beta", lambda s: s.update({"lifs.0.beta": torch.ones(3)})),
    ("lifs.0.threshold is 0.5", lambda s: s["lifs.0.threshold"].fill_(0.5)),
    ("lifs.2.reset_mechanism_val is 1", lambda s: s["lifs.2.reset_mechanism_val"].fill_(1)),
    ("counterpart .*lifs.0.mem", lambda s: s.update({"lifs.0.mem": torch.zeros(2)})),
    ("7 weights and 5 norms", lambda s: s.update({"more.weight": torch.ones(2, 2)})),
]


@each_row(
    "layout, named, change, network",
    [
        *(("released", *row, small()) for row in RELEASED),
        *(("snntorch", *row, small()) for row in SNNTORCH),
        *(("released", "bntt1 .*3, 4", dict, vgg6(width=0.25, num_steps=steps)) for steps in (2, 4)),
        ("released", "chain", dict, resnet20(num_steps=3, width=1 / 16)),
        ("released", "conv1.weight is unexpected", dict, mlp(num_steps=3)),
    ],
)
def test_what_does_not_fit_is_named(layout, named, change, network):
    """Of another T (faults 38 and 39) neither the first steps alone are taken, nor start values for the rest."""
    state = {name: value.clone() for name, value in STATES[layout](loop_of()).items()}
    change(state)
    with pytest.raises(CheckpointError, match=named):
        as_ours(read_foreign(state, layout), network)
