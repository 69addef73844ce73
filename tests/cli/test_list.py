"""``bntt list``."""

from bntt.cli import main as cli
from bntt.nn import NORMS


def test_names(capsys):
    for what, some in {
        "recipes": "cifar10-small",
        "models": "vgg11",
        "pretrained": "fashion-mnist-vgg6",
        "norms": "bn-pooled",
    }.items():
        assert cli.main(["list", what]) == 0
        assert some in capsys.readouterr().out.splitlines()


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
    assert all(f"  {name:<17} fused in training and evaluation" in shown for name in [*NORMS, *parts])
