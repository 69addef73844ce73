"""Parts of one's own, those of the examples and a block, work wherever such parts are named."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from torch import nn

import bntt
from bntt.analysis.exit.early_exit import gamma_profile
from bntt.analysis.measurements import MEASUREMENTS
from bntt.cli import main as cli
from bntt.data import ImageSet, Splits
from bntt.models import MODELS, mlp, resnet20
from bntt.models.spiking import linear, maker
from bntt.nn import NORMS, Call, Measure, SpikingClassifier, norm_facts, retime
from bntt.nn.fuse import fused_norms, fused_parts
from bntt.runs.directory import new_run_directory
from bntt.runs.open_run import load_run
from bntt.runs.training.train import train_run
from tests.architecture.source import FILES
from tests.docs.conftest import REGISTRIES
from tests.runs.tiny import parts, recipe

EXAMPLES = Path(__file__).parents[2] / "examples" / "parts"
PARTS = {
    "models": ("parallel_mlp", {"network": {"name": "parallel_mlp", "width": 1.0}}),
    "encoders": ("latency", {"encoder": {"name": "latency"}}),
    "neurons": ("adaptive", {"network": {"neuron": "adaptive", "leak": 0.8}}),
    "norms": ("rms", {"network": {"norm": "rms"}}),
}
"""By the word after ``bntt list``: its name, and the tables of a recipe that names it."""


class Parallel(nn.Module):
    """A block of one's own: ``y = (left(x) + right(x)) / 2``."""

    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = left, right

    @property
    def layers(self):
        return tuple(layer.under(name) for name in ("left", "right") for layer in getattr(self, name).layers)

    def forward(self, x, call=Call(), state=None):
        before = state or (None, None)
        (left, after_left), (right, after_right) = self.left(x, call, before[0]), self.right(x, call, before[1])
        return (left + right) / 2, (after_left, after_right)


def parallel_mlp(*, in_features, num_classes=10, num_steps=4, leak=0.95, norm="bntt", width=1.0, **options):
    """Two layers of 32 neurons side by side, then one of 16."""
    make, wide, narrow = maker(num_steps, leak, norm, **options), max(1, round(32 * width)), max(1, round(16 * width))
    sides = [make.spiking(nn.Sequential(nn.Flatten(), linear(in_features, wide)), wide) for _ in range(2)]
    blocks = {"both": Parallel(*sides), "fc2": make.spiking(linear(wide, narrow), narrow)}
    return make.network(blocks, linear(narrow, num_classes))


def read_stripes(folder, progress):
    """A line a picture: its class and its 64 pixels of 0 or 1."""
    rows = [line.split() for line in (folder / "pictures.txt").read_text().splitlines()]
    pixels = torch.tensor([[255 * int(digit) for digit in row[1]] for row in rows], dtype=torch.uint8)
    images = ImageSet(pixels.view(-1, 1, 8, 8), torch.tensor([int(row[0]) for row in rows]), ("across", "down"))
    progress(1, 1)
    return Splits(images, images)


@pytest.fixture(scope="module", autouse=True)
def mine():
    """The examples' parts and a block, as their modules register them; nobody else sees them."""
    registries = (*REGISTRIES, MEASUREMENTS)
    before = [dict(registry) for registry in registries]
    for name in ("my_parts", "lsnn"):
        spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
        sys.modules[name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
    MODELS["parallel_mlp"] = parallel_mlp
    yield sys.modules["my_parts"]
    for registry, entries in zip(registries, before, strict=True):
        registry.clear()
        registry.update(entries)
    del sys.modules["my_parts"], sys.modules["lsnn"]


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


def test_a_dataset_that_is_read_is_listed_prepared_verified_and_shown(tmp_path, monkeypatch, capsys):
    bntt.register.dataset("lines", licence="MIT", classes=2, shape=(1, 8, 8), expects="pictures.txt")(read_stripes)
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    Path("mine/pictures.txt").write_text("".join(f"{n % 2} {f'{n:08b}' * 8}\n" for n in range(8)))
    for words, code, told in (
        ("list datasets", 0, ("lines: images, 2 classes, 1x8x8", "MIT", "pictures.txt")),
        ("data verify lines", 3, ("lines",)),
        ("data prepare lines --from mine", 0, ("8 + 8 images of 1x8x8, 2 classes",)),
        ("data verify lines", 0, ("train", "test")),
        ("data where", 0, ("lines: 8 + 8 images",)),
        ("data show lines -s network.name=mlp --index 1", 0, ("test 1: down",)),
    ):
        assert cli.main(words.split()) == code, words
        said = "".join(capsys.readouterr())
        assert [text for text in told if text not in said] == [], words


def test_thresholds_of_an_lsnn_adapt():
    """Leak and decay 1/2, beta 0 and 2: 1.5 fires both; thresholds are 1 and 2, and 1.75 fires one; then 1 and 1.5."""
    drive = torch.tensor([[[1.5, 1.5]], [[1.5, 1.5]], [[1.0, 1.0]]], dtype=torch.float64)
    spikes, (u, raised) = sys.modules["lsnn"].AdaptiveLIF(2, 0.5, decay=0.5, beta=2.0)(drive)
    assert spikes[:, 0].tolist() == [[1, 1], [1, 0], [1, 1]]
    assert (u.tolist(), raised.tolist()) == ([[0.375, 0.375]], [[0.875, 0.625]])


def test_an_lsnn_learns_and_any_cut_of_time_is_the_whole(rng):
    make, x = sys.modules["lsnn"].lsnn, 2 * torch.rand(8, 5, 6, dtype=torch.float64, generator=rng)
    with torch.random.fork_rng():  # PyTorch's layers draw their weights
        net = make(in_features=6, num_classes=3, num_steps=8, width=0.1).double()
    whole = net(x)
    whole.square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in net.parameters())
    _, state = net.advance(x[:3])
    keep = torch.tensor([True, False, True, False, False])
    assert torch.equal(net.advance(x[3:], state)[0][-1], whole)
    assert torch.equal(net.advance(x[3:, keep], state.rows(keep))[0][-1], whole[keep])
    for wrong in ({"norm": "bntt"}, {"reset": "hard"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make(in_features=6, num_classes=3, num_steps=8, **wrong)
