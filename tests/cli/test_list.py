"""``bntt list``."""

import re

from bntt.cli import main as cli
from bntt.models import PRETRAINED
from bntt.nn import NORMS


def test_names(capsys):
    for what, some in {"recipes": "cifar10-small", "models": "vgg11", "norms": "bn-pooled"}.items():
        assert cli.main(["list", what]) == 0
        assert some in capsys.readouterr().out.splitlines()


def test_trained_networks_are_a_table(capsys):
    assert cli.main(["list", "pretrained"]) == 0
    heads, *rows, how = capsys.readouterr().out.splitlines()
    heads, *rows = (re.split("  +", row) for row in (heads, *rows))
    assert [row[0] for row in rows] == list(PRETRAINED)
    first = ["fashion-mnist", "89.4% (88.8% to 90.0%)", "8", "7,959", "4.84 µJ", "0.90 MB"]
    assert (heads[0], rows[0][1:-1]) == ("name", first)
    assert "bntt train NAME" in how


def test_backends_and_what_they_do_for_every_norm_neuron_and_block(capsys):
    assert cli.main(["list", "backends"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("reference  plain PyTorch")
    parts = [
        "LIF",
        "LIF, learned leak",
        "LIF, input decays",
        "PLIF",
        "FoldedLIF",
        "MaxPool2d",
        "SpikeDropout",
        "NeuronBlock",
        "Residual",
    ]
    fused = re.findall(r"^  (.*?) +fused in training and evaluation$", shown, re.M)
    assert {*NORMS, *parts} <= {*fused}
