"""What a part of one's own must do everywhere, once it is registered: in recipes, training, any cut, measurements."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bntt.analysis.exit.early_exit import gamma_profile
from bntt.cli import main as cli
from bntt.nn import Measure, SpikingNetwork
from bntt.runs.directory import new_run_directory
from bntt.runs.open_run import LoadedRun, load_run
from bntt.runs.training.train import train_run
from tests.runs.tiny import parts, recipe


def takes(drill: Path, name: str, files: set[str]) -> None:
    """A drill's folder has these files alone, and no file of the library names its part."""
    assert {path.name for path in drill.iterdir() if path.is_file()} - {"__init__.py"} == files
    for path in (drill.parents[2] / "src").rglob("*.py"):
        assert f'"{name}"' not in path.read_text(encoding="utf-8"), path


def trained_with(tmp_path: Path, **tables: dict[str, object]) -> LoadedRun:
    """A run of one epoch on sixty images, from a recipe that names the part."""
    tables["train"] = {"epochs": 1, **tables.get("train", {})}
    of, run = recipe(**tables, evaluate={"draws": 1}), new_run_directory("mine", tmp_path)
    for _ in train_run(of, parts(of), run):
        pass
    return load_run(run.path)


def listed(kind: str, capsys) -> list[str]:
    """The names that ``bntt list`` prints."""
    capsys.readouterr()
    assert cli.main(["list", kind]) == 0
    return capsys.readouterr().out.splitlines()


def every_cut_is_the_whole(net: SpikingNetwork, x: torch.Tensor) -> None:
    """In evaluation, in float64: all steps at once, one after another, and in parts."""
    net = net.double().eval()
    whole = net.advance(x)[0]
    assert torch.allclose(net(x), whole[-1], atol=1e-10)
    for sizes in ([1] * len(x), [1, len(x) - 1]):
        parts, state = [], None
        for part in torch.split(x, sizes):
            logits, state = net.advance(part, state)
            parts.append(logits)
        assert torch.allclose(torch.cat(parts), whole, atol=1e-10)


def is_measured(net: SpikingNetwork, x: torch.Tensor) -> None:
    """Spikes and moments of every layer, whatever runs it."""
    _, state = net.advance(x, measure=Measure(spikes=True, moments=True))
    for name, layer in net.layers.items():
        assert layer.lif is None or state.measured[name].spikes.sum() > 0, name
        assert layer.norm is None or len(state.measured[name].moments.mean) == len(x), name


def learns(net: nn.Module, x: torch.Tensor) -> None:
    """Every parameter has a gradient."""
    net.train()(x).square().sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert 0 < p.grad.abs().max() < torch.inf, name


def measured_by_name(run: LoadedRun, kind: str, name: str, capsys) -> None:
    """γ of every layer, spikes of the first, and its name in the list."""
    assert all(layer.max() > 0 for layer in gamma_profile(run.model.network).magnitude.values())
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    first, *_ = run.model.trace(images).spikes.values()
    assert first.sum() > 0, "deeper ones may be silent after so short a training"
    assert name in listed(kind, capsys)
