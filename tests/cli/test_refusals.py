"""What no verb takes: the exit code, one line that names the flag, key, name or file, and nothing written."""

import shlex

import pytest
from PIL import Image

from bntt.cli import main as cli
from tests.rows import each_row
from tests.trained import trained_run

REFUSED = [
    (2, "dmeo", "'demo'"),
    (2, "zzz", "demo, train, "),
    (2, "bench", "'bench'"),
    (2, "card RUN", "'card'"),
    # training
    (2, "train nope", "'nope'"),
    (2, "train RUN", "--resume"),
    (2, "train demo --estimate --fit-batch 1GiB", "--fit-batch"),
    (2, "train RUN --estimate --resume", "--resume"),
    (2, "train demo -s train.epoch=3", "'epochs'"),
    (2, "train demo -s network.name=vgg9", "image_size"),
    (2, "train demo -s train.batch_size=1", "batch"),
    (2, "train demo --name ../x", "name"),
    (5, "train demo --device cuda:9", "cuda:9"),
    (4, "train demo --resume", "demo"),
    (2, "train demo --resume --name x", "--name"),
    (2, "train demo --forget-best", "--forget-best"),
    (2, """train demo -s 'data.augment=["shift"]'""", "'shift'"),
    (2, "train demo -s evaluate.images=5000", "1,000 test images"),
    (3, "train cifar10-compact-hybrid --init pretrained fashion-mnist-vgg6", "cifar10 is not here"),
    (3, "train cifar10", "bntt data prepare cifar10"),
    # folders that are files
    (2, "train demo --root FILE", "FILE"),
    (2, "train demo --or-resume --root FILE", "FILE"),
    (2, "demo --root FILE", "FILE"),
    (2, "import RUN --model vgg9 --root FILE", "FILE"),
    (2, "report RUN --out FILE/page.html", "FILE"),
    (2, "data simulate fashion-mnist-bundled --to FILE/there", "FILE"),
    (2, "drift RUN --out FILE", "FILE"),
    (2, "drift RUN --out FILE/there", "FILE"),
    # measuring
    (4, "drift /nonexistent", "/nonexistent"),
    (2, "drift RUN --layer conv9", "conv1"),
    (2, "drift RUN --images 0", "--images"),
    (2, "drift RUN --json --csv", "--csv"),
    (2, "drift RUN -s train.lr=1", "train.lr"),
    (2, "drift RUN --images 20 -s compute.backend=reference", "--out"),
    (5, "drift RUN --device cuda:9", "cuda"),
    (2, "evaluate RUN --num-steps 4", "--longer"),
    (2, "evaluate RUN --num-steps 3", "the 3 it"),
    (2, "evaluate RUN --num-steps 1 --exit", "--exit"),
    (2, "evaluate RUN --longer hold", "--num-steps"),
    (2, "evaluate RUN --images 2000", "evaluate.images"),
    (2, "evaluate RUN --images 51 --split validation", "50 validation images"),
    (2, "evaluate RUN --draws 0", "--draws"),
    (2, "evaluate RUN --draws 1001", "--draws"),
    (4, "evaluate RUN --exit", "bntt exit"),
    (2, "exit RUN --threshold 0.1 --per-sample", "threshold"),
    (2, "exit RUN --split validation", "--split"),
    (2, "list norms --threads 0", "--threads"),
    # predicting
    (2, "predict", "name one image"),
    (2, "predict IMAGE --draws 0", "--draws"),
    (2, "predict IMAGE --draws 1001", "--draws"),
    (2, "predict IMAGE --seed -1", "--seed"),
    (2, "predict IMAGE --picture said.gif", "said.gif"),
    (2, f"predict {'IMAGE ' * 51} --picture said.png", "--picture"),
    (2, "predict IMAGE --picture IMAGE", "--picture"),
    (5, "predict IMAGE --picture /nonexistent/said.png", "/nonexistent/said.png"),
    (4, "predict IMAGE --run /nonexistent", "/nonexistent"),
    (2, "predict IMAGE --run RUN --pretrained fashion-mnist-vgg6", "--pretrained"),
    (2, "predict IMAGE --run RUN -s evaluate.draws=3", "evaluate.draws"),
    (2, "predict IMAGE -s compute.backend=reference", "--run"),
    (2, "predict IMAGE --pretrained vgg6", "fashion-mnist-vgg6"),
    (2, "predict IMAGE --pretrained fashion-mnist-events-small", "frames"),
    (2, "predict IMAGE --pretrained fashion-mnist-sparse --draws 2", "--draws"),
    # data
    (3, "data prepare mnist", "bntt data prepare mnist"),
    (3, "data prepare mnist --from /nonexistent", "/nonexistent"),
    (3, "data prepare mnist --steps 3", "--steps"),
    (3, "data prepare dvs-cifar10 --download", "dvs-cifar10"),
    (3, "data prepare dvs-cifar10", "dvs-cifar10 is not prepared"),
    (3, "data prepare n-mnist --steps 0", "num_steps"),
    (3, "data verify mnist", "mnist is not prepared"),
    (3, "data simulate images --from x", "--to"),
    (3, "data simulate fashion-mnist-bundled --seed -1", "--seed"),
    (2, "data show demo --picture out.jpg", "out.jpg"),
    # files for elsewhere, and from there
    (2, "export", "--out"),
    (2, "export RUN --pretrained fashion-mnist-vgg6", "--pretrained"),
    (2, "export --out x --to nir --lossy constant", "--lossy"),
    (2, "export RUN --lossy constant", "--to nir"),
    (2, "export --out .", "--out"),
    (2, "export --out RUN/recipe.toml", "recipe.toml"),
    (2, "export --out RUN/checkpoints/best.safetensors", "best.safetensors"),
    (4, "export /nonexistent", "/nonexistent"),
    (5, "export --out /nonexistent/x", "/nonexistent/x"),
    (2, "import FILE --model vgg6 --name ../x", "name"),
    (4, "import FILE --model vgg6", "FILE"),
]


@pytest.fixture
def words(tmp_path, cache, monkeypatch):
    """What stands for a run, a file and an image; the working directory stays empty."""
    (tmp_path / "file").touch()
    Image.new("L", (28, 28), 90).save(tmp_path / "grey.png")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield {"RUN": str(trained_run().path), "FILE": str(tmp_path / "file"), "IMAGE": str(tmp_path / "grey.png")}
    assert not list((tmp_path / "here").iterdir())


@each_row("code, command, named", REFUSED)
def test_a_refusal_is_one_line_and_its_code(code, command, named, words, capsys):
    for word, place in words.items():
        command, named = command.replace(word, place), named.replace(word, place)
    capsys.readouterr()
    assert cli.main(shlex.split(command)) == code
    *_, said = capsys.readouterr().err.splitlines()
    assert said.startswith("bntt: ")
    assert named in said
