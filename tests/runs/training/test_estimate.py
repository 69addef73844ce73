"""What a training will cost."""

from bntt.cli import main as cli
from bntt.runs.directory import RunDirectory
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
