"""``bntt evaluate`` with what the drill does not try: numbers of another kind beside the usual, and damaged runs."""

import json

from bntt.cli import main as cli
from tests.trained import copied_run, trained_run


def test_some_images_of_another_split_are_kept_beside(run, capsys):
    assert cli.main(["evaluate", str(run), "--split", "validation", "--images", "30", "--num-steps", "2"]) == 0
    out = capsys.readouterr().out
    assert "30 of the 50 images, stratified by class" in out
    assert "trained with 3 steps, measured with 2: truncate" in out
    assert "validation accuracy" in out
    name = "evaluation-validation-2-steps-truncate-30-images"
    kept = json.loads((run / f"{name}.json").read_text())
    assert (kept["steps"], kept["images"], kept["draws"]) == (2, 30, 2)
    assert kept["arguments"]["images"] == 30
    assert (run / f"{name}.png").exists()
    assert not (run / "evaluation.json").exists()


REFUSED = [
    (["--estimate", "--json"], "--estimate prints one line"),
    (["--num-steps", "4"], "--longer hold"),
    (["--num-steps", "3"], "give a number other than the 3 it was trained with"),
    (["--num-steps", "1", "--exit"], "--exit and --num-steps both say when to stop"),
    (["--longer", "hold"], "--longer hold needs a number of steps: --num-steps"),
    (["--images", "2000"], "evaluate.images: 2,000 requested"),
    (["--images", "51", "--split", "validation"], "--images 51: there are 50 validation images"),
    (["--draws", "0"], "--draws must be 1 or more"),
    (["--draws", "1001"], "--draws must be 1000 or less, got 1001"),
]


def test_refusals_are_one_line(capsys):
    for flags, message in REFUSED:
        assert cli.main(["evaluate", str(trained_run().path), *flags]) == 2, flags
        error = capsys.readouterr().err
        assert message in error, flags
        assert error.splitlines()[-1].startswith("bntt: ")


def test_an_ann_has_one_step(tmp_path, capsys):
    ann = copied_run(tmp_path, network={"neuron": "relu", "norm": "none", "num_steps": 1}, encoder={"name": "expected"})
    for flags in (["--exit"], ["--num-steps", "2", "--longer", "hold"]):
        assert cli.main(["evaluate", str(ann.path), *flags]) == 2
        assert "is an ANN: its one step is all there is" in capsys.readouterr().err
    assert cli.main(["evaluate", str(ann.path)]) == 0
    out = capsys.readouterr().out
    assert "an ANN: nothing in it spikes" in out
    assert "(one pass; 95% interval for" in out
    assert (ann.path / "evaluation.png").exists()


def test_a_recipe_that_was_edited_is_refused_before_any_data_is_read(run, capsys):
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('name = "fashion-mnist-bundled"', 'name = "cifar10"'))
    for command in (["evaluate", str(run)], ["train", str(run), "--resume"]):
        assert cli.main(command) == 4
        expected = "data.name is 'cifar10', it was trained with 'fashion-mnist-bundled'"
        assert expected in capsys.readouterr().err


def test_a_damaged_checkpoint(run, capsys):
    path = run / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert cli.main(["evaluate", str(run)]) == 4
    assert "best.safetensors is damaged" in capsys.readouterr().err
