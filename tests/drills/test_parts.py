"""Parts of one's own, those of the examples and a block, work wherever such parts are named."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

from bntt.analysis.exit.early_exit import gamma_profile
from bntt.analysis.measurements import MEASUREMENTS
from bntt.cli import main as cli
from bntt.models import MODELS, mlp, resnet20
from bntt.nn import NORMS, Measure, SpikingClassifier, norm_facts, retime
from bntt.nn.fuse import fused_norms, fused_parts
from bntt.runs.directory import new_run_directory
from bntt.runs.open_run import load_run
from bntt.runs.training.train import train_run
from tests.architecture.source import FILES
from tests.docs.conftest import REGISTRIES
from tests.drills.parallel import parallel_mlp
from tests.runs.tiny import parts, recipe

MINE = Path(__file__).parents[2] / "examples" / "parts" / "my_parts.py"
PARTS = {
    "models": ("parallel_mlp", {"network": {"name": "parallel_mlp", "width": 1.0}}),
    "encoders": ("latency", {"encoder": {"name": "latency"}}),
    "neurons": ("adaptive", {"network": {"neuron": "adaptive", "leak": 0.8}}),
    "norms": ("rms", {"network": {"norm": "rms"}}),
}
"""By the word after ``bntt list``: its name, and the tables of a recipe that names it."""


@pytest.fixture(scope="module", autouse=True)
def mine():
    """The examples' parts and a block, as their modules register them; nobody else sees them."""
    registries = (*REGISTRIES, MEASUREMENTS)
    before = [dict(registry) for registry in registries]
    spec = spec_from_file_location("my_parts", MINE)
    sys.modules["my_parts"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    MODELS["parallel_mlp"] = parallel_mlp
    yield module
    for registry, entries in zip(registries, before, strict=True):
        registry.clear()
        registry.update(entries)
    del sys.modules["my_parts"]


def test_the_library_names_none_of_them():
    for name, _ in PARTS.values():
        assert not [path for path in FILES if f'"{name}"' in path.read_text(encoding="utf-8")], name


@pytest.mark.parametrize("kind", PARTS)
def test_it_is_trained_by_name_and_measured(kind, tmp_path, capsys):
    name, tables = PARTS[kind]
    of = recipe(**tables, train={"epochs": 1}, evaluate={"draws": 1})
    directory = new_run_directory("mine", tmp_path)
    for _ in train_run(of, parts(of), directory):
        pass
    run = load_run(directory.path)
    assert all(layer.max() > 0 for layer in gamma_profile(run.model.network).magnitude.values())
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    first, *_ = run.model.trace(images).spikes.values()
    assert first.sum() > 0, "deeper ones may be silent after so short a training"
    capsys.readouterr()
    assert cli.main(["list", kind]) == 0
    assert name in capsys.readouterr().out.splitlines()
    if kind == "encoders":
        assert (run.facts.is_random, run.facts.draws) == (False, 1)


def dense(**options):
    return mlp(in_features=5, hidden=(8, 6), num_steps=4, **options)


NETWORKS = {
    "norm": (lambda: dense(norm="rms"), (4, 3, 5)),
    "neuron": (lambda: dense(neuron="adaptive"), (4, 3, 5)),
    "residual": (
        lambda: resnet20(num_steps=4, width=0.125, neuron="adaptive", residual="ms", in_channels=2),
        (4, 3, 2, 8, 8),
    ),
    **{
        norm: (lambda norm=norm: MODELS["parallel_mlp"](in_features=5, norm=norm), (4, 6, 5))
        for norm in ("bntt", "tab", "layer")
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_learns_is_measured_and_any_cut_of_time_is_the_whole(name, rng):
    make, shape = NETWORKS[name]
    net, x = make(), 3 * torch.randn(shape, generator=rng)
    net.train()(x).square().sum().backward()
    assert all(0 < p.grad.abs().max() < torch.inf for p in net.parameters())
    _, state = net.advance(x, measure=Measure(spikes=True, moments=True))
    for layer, found in state.measured.items():
        assert name == "residual" or net.layers[layer].lif is None or found.spikes.sum() > 0, (
            "deep layers may be silent"
        )
        assert net.layers[layer].norm is None or len(found.moments.mean) == len(x)
    net, x = net.double().eval(), x.double()
    whole, state = net.advance(x)
    assert torch.allclose(net(x), whole[-1], atol=1e-10)
    assert state.rows(torch.tensor([0, 2])).detach().batch == 2
    for sizes in ([1] * len(x), [1, len(x) - 1]):
        logits, state = [], None
        for part in torch.split(x, sizes):
            said, state = net.advance(part, state)
            logits.append(said)
        assert torch.allclose(torch.cat(logits), whole, atol=1e-10)


def test_every_pixel_fires_once_however_the_steps_are_cut(rng, mine):
    encoder, x = mine.Latency(5), torch.rand(2, 1, 3, 3, generator=rng)
    whole = encoder(x)
    assert torch.equal(whole.sum(0), torch.ones_like(x))
    assert torch.equal(torch.cat([encoder(x, steps=range(t, t + 1)) for t in range(5)]), whole)
    model = SpikingClassifier(encoder, mlp(in_features=9, hidden=(4,), num_steps=5)).eval()
    _, state = model.advance(x, steps=2)
    assert torch.allclose(model.advance(x, state, steps=3)[0][-1], model(x), atol=1e-6)


def test_why_it_is_not_fused_names_its_class():
    assert "RMSNorm" in fused_norms()["rms"]
    assert "Adaptive" in fused_parts()["adaptive"]
    assert "Parallel" in MODELS["parallel_mlp"](in_features=5).plan((4, 2, 5)).reason


def test_facts_and_options_reach_it(mine):
    assert norm_facts(mine.RMSNorm(2, 3)).step_gamma
    assert retime(dense(norm="rms"), 6, "interpolate").blocks["fc1"].norm.gamma.shape == (6, 8)
    net = MODELS["parallel_mlp"](in_features=5)
    assert list(net.layers) == ["both.left", "both.right", "fc2"]
    assert net.blocks["both"].left.name == "block 'both.left'"
    with pytest.raises(ValueError, match="learn_leak"):
        mlp(neuron="adaptive", learn_leak=True)


def test_a_name_is_given_once_and_needs_what_is_given(mine):
    with pytest.raises(ValueError, match="'rms'"):
        NORMS("rms")(mine.RMSNorm)
    with pytest.raises(ValueError, match="'window'"):
        NORMS("other")(lambda channels, window: None)
