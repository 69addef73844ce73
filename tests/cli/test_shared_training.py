"""``bntt train`` by many processes: one writes and prints, a lost one ends all, and any number of them goes on."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from bntt.cli.main import main
from bntt.io.checkpoint import read_facts
from tests.training.launched import ended, started

pytestmark = pytest.mark.slow
SMALL = [
    *("-s", "network.width=0.125", "-s", "network.num_steps=2", "-s", "data.images=60", "-s", "train.batch_size=20"),
    *("-s", "train.epochs=3", "-s", "data.validation=0.0111", "-s", "evaluate.draws=2", "-s", "evaluate.images=41"),
    *("-s", "evaluate.batch_size=7", "-s", "checkpoint.every_steps=1", "-s", "train.lr=0.1"),
]
"""Nine updates; 55 images to validate and 41 to test, by parts of seven."""


def launched(folders, *arguments):
    return started(len(folders), "bntt", "train", *arguments, folders=folders)


def folders_of(count, tmp_path):
    made = [tmp_path / f"rank{rank}" for rank in range(count)]
    for folder in made:
        folder.mkdir(exist_ok=True)
    return made


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_as_alone(run, alone):
    for ours, theirs in zip(lines(run), lines(alone), strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-3)
        assert ours["validation_accuracy"] == pytest.approx(theirs["validation_accuracy"], abs=1 / 55 + 1e-9)
        assert ours["updates"] == theirs["updates"]
    ours, theirs = (json.loads((folder / "evaluation.json").read_text()) for folder in (run, alone))
    assert ours["images"] == theirs["images"] == 41
    assert ours["accuracy"] == pytest.approx(theirs["accuracy"], abs=1 / 41 + 1e-9)


def wait_for(path: Path, pattern: str) -> Path:
    for _ in range(6000):
        if found := sorted(path.glob(pattern)):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"{pattern} never came")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    root = tmp_path_factory.mktemp("alone")
    assert main(["train", "demo", *SMALL, "--root", str(root)]) == 0
    return root / "demo"


def test_one_is_killed_and_three_go_on_where_it_was(alone, tmp_path):
    two, run = folders_of(2, tmp_path), tmp_path / "rank0" / "runs" / "demo"
    begun = launched(two, "demo", *SMALL)
    wait_for(tmp_path, "rank0/runs/demo/checkpoints/step-*2.safetensors")
    begun[1].kill()
    (code, _, told), (killed, *_) = ended(begun)
    assert (code, killed) == (5, -signal.SIGKILL)
    assert told.startswith("bntt: process 0: another process has ended or cannot be reached")
    assert len(told.splitlines()) == 1
    done = ended(launched(folders_of(3, tmp_path), str(run), "--resume"))
    assert [code for code, *_ in done] == [0, 0, 0]
    assert "processes is 3, it was 2: sums may round differently" in " ".join(done[0][1].split())
    assert [out + err for _, out, err in done[1:]] == ["", ""]
    assert [list(folder.iterdir()) for folder in (tmp_path / "rank1", tmp_path / "rank2")] == [[], []]
    assert json.loads(wait_for(run, "environment-from-update-*.json").read_text())["processes"] == 3
    assert_as_alone(run, alone)


def test_two_begin_with_trained_weights_stop_and_go_on_without_them(alone, tmp_path):
    """The trained run is gone when they go on: the checkpoint has what it gave."""
    source = shutil.copytree(alone, tmp_path / "source")
    begins = ["demo", *SMALL, "-s", "checkpoint.last=9", "--init", str(source)]
    assert main(["train", *begins[:-2], "--root", str(tmp_path), "--name", "one", *begins[-2:]]) == 0
    two, run = folders_of(2, tmp_path), tmp_path / "rank0" / "runs" / "demo"
    begun = launched(two, *begins)
    wait_for(run, "checkpoints/step-*2.safetensors")
    begun[1].send_signal(signal.SIGTERM)
    (first, out, told), (second, *quiet) = ended(begun)
    assert (first, second, quiet) == (143, 143, ["", ""])
    assert "torchrun --nproc-per" in told
    assert told.rstrip().endswith("-m bntt train runs/demo --resume")
    assert f"weights are those of {source}, epoch" in " ".join(out.split())
    shutil.rmtree(source)
    done = ended(launched(two, str(run), "--resume"))
    assert [code for code, *_ in done] == [0, 0]
    assert_as_alone(run, tmp_path / "one")
    assert read_facts(run / "checkpoints" / "best.safetensors")["init"]["run"] == str(source)


def test_numbers_that_are_not_finite_end_all_with_their_code(tmp_path):
    done = ended(launched(folders_of(2, tmp_path), "demo", *SMALL, "-s", "train.lr=1e30"))
    assert [code for code, *_ in done] == [6, 6]
    for rank, (_, _, told) in enumerate(done):
        assert told.startswith(f"bntt: process {rank}: ")
