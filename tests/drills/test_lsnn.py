"""The LSNN of the examples: its neurons by hand, any cut of time, and its study from the command line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bntt.studies.study_file import load_study

PARTS = Path(__file__).parents[2] / "examples" / "parts"
CHECKS = """
import contextlib, torch
from lsnn import AdaptiveLIF, lsnn

# leak and decay 1/2, beta 0 and 2: 1.5 fires both; then the thresholds are 1 and 2, and 1.75 fires one; then 1 and 1.5
drive = torch.tensor([[[1.5, 1.5]], [[1.5, 1.5]], [[1.0, 1.0]]], dtype=torch.float64)
spikes, (u, raised) = AdaptiveLIF(2, 0.5, decay=0.5, beta=2.0)(drive)
assert spikes[:, 0].tolist() == [[1, 1], [1, 0], [1, 1]]
assert u.tolist() == [[0.375, 0.375]] and raised.tolist() == [[0.875, 0.625]]

generator = torch.Generator().manual_seed(0)
x = 2 * torch.rand(8, 5, 6, dtype=torch.float64, generator=generator)
net = lsnn(in_features=6, num_classes=3, num_steps=8, width=0.1).double()
whole = net(x)
whole.square().sum().backward()
assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in net.parameters())
first, state = net.advance(x[:3])
keep = torch.tensor([True, False, True, False, False])
assert torch.equal(net.advance(x[3:], state)[0][-1], whole)
assert torch.equal(net.advance(x[3:, keep], state.rows(keep))[0][-1], whole[keep])
for wrong in ({"norm": "bntt"}, {"reset": "hard"}):
    with contextlib.suppress(ValueError):
        raise AssertionError(lsnn(in_features=6, num_classes=3, num_steps=8, **wrong))
"""


def run(folder, *words):
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_thresholds_adapt_and_any_cut_of_time_gives_the_same():
    run(PARTS, "-c", CHECKS)


def test_its_study_compares_it_with_the_runs_of_table_3():
    """A process of its own registers the part; here it is read without it."""
    mine, table = load_study(PARTS / "lsnn-rows.toml"), load_study("table-3")
    assert mine.settings["small"] == table.settings["small"]
    assert {run.name: run.set for run in table.runs}.items() <= {run.name: run.set for run in mine.runs}.items()


@pytest.mark.slow
def test_its_study_runs_from_the_command_line(tmp_path):
    folder = shutil.copytree(PARTS, tmp_path / "mine")
    study = (folder / "lsnn-rows.toml").read_text()
    size = '"train.epochs=1", "data.name=fashion-mnist-bundled", "data.images=200", "network.width=0.1"'
    (folder / "toy.toml").write_text(
        study.replace('"train.epochs=5"', size).replace("[settings.small]", "[settings.small]\nseeds = [0, 1]")
    )
    said = run(folder, "-m", "bntt", "--with", "lsnn.py", "study", "toy.toml", "--small")
    assert "LSNN" in said
