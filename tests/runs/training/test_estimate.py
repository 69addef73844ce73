"""What a training will cost."""

import re

from bntt.analysis.accuracy.measurement import EVALUATE, EvaluateArguments
from bntt.cli import main as cli
from bntt.runs.directory import RunDirectory
from bntt.runs.measure import estimated
from bntt.runs.open_run import load_run
from bntt.runs.training.estimate import estimate_training
from tests.runs.tiny import parts, recipe
from tests.trained import trained_run


def test_updates_and_the_size_of_a_checkpoint_are_those_of_the_run():
    run = RunDirectory(trained_run().path)
    of = recipe(train={"epochs": 2, "lr": 0.3})
    found = estimate_training(of, parts(of))
    assert found.updates == run.spent()["updates"]
    file = max(path.stat().st_size for path in run.kept.paths())
    assert 0.5 * file < found.checkpoint_bytes <= file
    assert found.seconds > 0
    assert found.peak_bytes > 50 << 20


def test_the_flag_writes_nothing(tmp_path, capsys):
    small = ["-s", "network.width=0.125", "-s", "network.num_steps=2", "-s", "train.epochs=3"]
    assert cli.main(["train", "demo", *small, "--estimate", "--root", str(tmp_path)]) == 0
    assert "3 epochs of batches of 45: 300 updates, about" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_measurement_is_left_at_the_first_batch():
    opened = load_run(trained_run().path)
    before = sorted(opened.path.rglob("*"))
    said = estimated(EVALUATE, [opened], EvaluateArguments(draws=3), seconds=0)
    assert re.fullmatch(r"about \S+ minutes, by 250 of 3,000 samples in .* s", said), said
    assert sorted(opened.path.rglob("*")) == before
