"""Networks of other makers, run beside ours with the same weights; and state dicts that have no place here."""

import math

import pytest
import torch

from bntt.io.checkpoint import CheckpointError
from bntt.models import mlp, resnet20, vgg6, vgg9, vgg11
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


@each_row("layout", LAYOUTS)
def test_logits_are_those_of_the_other_network(layout):
    """In float64, where no tie of rounding flips a spike; ε is each layout's own."""
    loop = loop_of(eps=LAYOUTS[layout])
    foreign = read_foreign(STATES[layout](loop))
    assert foreign.layout == layout
    net = small(norm_eps=LAYOUTS[layout])
    net.load_state_dict(as_ours(foreign, net))
    x = spikes((3, 5, 1, 28, 28))
    theirs, ours = loop.double()(x), net.double().eval()(x)
    assert theirs.std() > 0.1
    assert (theirs - ours).abs().max() < 1e-13


@each_row(("build", "plan", "steps"), [(vgg9, VGG9, 2)])
def test_the_papers_network_in_full_size(build, plan, steps):
    loop = Loop(plan, steps).randomize(2)
    foreign, net = read_foreign(loop.state_dict()), build(num_steps=steps)
    net.load_state_dict(as_ours(foreign, net))
    x = spikes((steps, 1, 3, 32, 32))
    theirs, ours = loop.double()(x), net.double().eval()(x)
    assert theirs.std() > 0.1
    assert (theirs - ours).abs().max() < 1e-12


def test_vgg11_has_its_names_too():
    net = vgg11(num_steps=2, width=1 / 16)
    state = {}
    for name, block in net.blocks.items():
        state[f"{name}.weight"] = block.synapse.weight.detach()
        norm = "bntt_fc" if name == "fc1" else name.replace("conv", "bntt")
        for t in range(2):
            state[f"{norm}.{t}.weight"] = block.norm.gamma[t].detach() + t
            state |= {f"{norm}.{t}.{key}": getattr(block.norm, key)[t] for key in ("running_mean", "running_var")}
    state["fc2.weight"] = net.readout.synapse.weight.detach()
    found = as_ours(read_foreign(state), net)
    assert torch.equal(found["blocks.fc1.norm.gamma"], net.blocks["fc1"].norm.gamma + torch.tensor([[0.0], [1.0]]))


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
    assert wrapped.notes == ["the prefix 'module.' of every name was left out"]


def changed(state, change):
    state = {name: value.clone() for name, value in state.items()}
    change(state)
    return state


WRONG = {
    "no conv2": (lambda s: s.pop("conv2.weight"), "conv2.weight is missing"),
    "no fc2": (lambda s: s.pop("fc2.weight"), "fc2.weight is missing"),
    "no bntt_fc": (
        lambda s: [s.pop(name) for name in [*s] if name.startswith("bntt_fc")],
        "does not fit this network .*bntt_fc is missing",
    ),
    "a layer more": (lambda s: s.update({"conv9.weight": torch.ones(1, 1, 3, 3)}), "conv9.weight is unexpected"),
    "a bias": (lambda s: s.update({"fc2.bias": torch.ones(10)}), r"have no counterpart .*no bias, no β\): fc2.bias"),
    "a shift": (lambda s: s.update({"bntt1.0.bias": torch.ones(4)}), r"have no counterpart .*: bntt1.0.bias"),
    "no last step": (
        lambda s: [s.pop(f"bntt2.2.{key}") for key in ("weight", "running_mean", "running_var")],
        "one number of steps T, .*bntt1 3, bntt2 2",
    ),
    "no first step": (
        lambda s: [s.pop(f"bntt2.0.{key}") for key in ("weight", "running_mean", "running_var")],
        "1 entries are missing, the first is bntt2.0",
    ),
    "no variance": (lambda s: s.pop("bntt2.1.running_var"), "missing, the first is bntt2.1.running_var"),
    "one norm for all steps": (
        lambda s: s.update({"bn.running_mean": torch.ones(4)}),
        "bn is one norm for all steps: BNTT has one for each",
    ),
    "steps of other lengths": (
        lambda s: s.update({"bntt2.1.weight": torch.ones(5)}),
        r"bntt2.\*.weight are vectors of one length",
    ),
    "a negative variance": (lambda s: s["bntt1.1.running_var"].fill_(-1e-3), "bntt1 holds a negative variance"),
    "half precision": (
        lambda s: s.update({"fc2.weight": s["fc2.weight"].half()}),
        "fc2.weight is torch.float16 .*readout.synapse.weight is torch.float32",
    ),
    "a transposed weight": (
        lambda s: s.update({"fc1.weight": s["fc1.weight"].T}),
        r"fc1.weight is .*\[392, 32\], blocks",
    ),
    "another width": (
        lambda s: s.update({"conv1.weight": torch.ones(8, 1, 3, 3)}),
        r"conv1.weight is .*\[8, 1, 3, 3\]",
    ),
    "nothing": (dict.clear, "norms must have one number of steps .*found none"),
}


@each_row("what", WRONG)
def test_what_does_not_fit_is_named(what):
    change, message = WRONG[what]
    with pytest.raises(CheckpointError, match=message):
        as_ours(read_foreign(changed(loop_of().state_dict(), change), "released"), small())


@each_row(
    ("change", "message"),
    [
        (lambda s: s["lifs.1.beta"].fill_(0.9), "neurons have different leaks"),
        (lambda s: s.update({"lifs.0.beta": torch.ones(3)}), r"lifs.0.beta is \[3\]: one leak for all"),
        (lambda s: s["lifs.0.threshold"].fill_(0.5), "lifs.0.threshold is 0.5: only 1 is read"),
        (lambda s: s["lifs.2.reset_mechanism_val"].fill_(1), "reset_mechanism_val is 1: only 0 is read"),
        (lambda s: s.update({"lifs.0.mem": torch.zeros(2)}), "have no counterpart .*lifs.0.mem"),
        (lambda s: s.update({"more.weight": torch.ones(2, 2)}), "has 7 weights and 5 norms, this network 6 and 5"),
    ],
)
def test_what_users_of_peers_have_otherwise_is_named(change, message):
    with pytest.raises(CheckpointError, match=message):
        as_ours(read_foreign(changed(snntorch(loop_of()), change)), small())


def test_another_number_of_steps_is_no_fit():
    """Faults 38 and 39: neither the first steps alone nor start values for the rest."""
    foreign = read_foreign(loop_of().state_dict())
    for steps in (2, 4):
        with pytest.raises(CheckpointError, match=rf"bntt1 is torch.float32 \[3, 4\], .* torch.float32 \[{steps}, 4\]"):
            as_ours(foreign, vgg6(width=0.25, num_steps=steps))


def test_networks_of_other_forms_are_refused():
    foreign = read_foreign(loop_of().state_dict())
    with pytest.raises(CheckpointError, match="only networks that are a plain chain of layers"):
        as_ours(foreign, resnet20(num_steps=3, width=1 / 16))
    with pytest.raises(CheckpointError, match=r"conv1\.weight is unexpected"):
        as_ours(foreign, mlp(num_steps=3))
