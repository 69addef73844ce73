"""Attacks that are asked for what they cannot do, that cannot work, or that are stopped."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import torch

from bntt.analysis.attack import attacks
from bntt.analysis.attack.attacks import Threat, descend, input_gradient
from bntt.models import mlp
from bntt.nn import DirectEncoder, SpikingClassifier
from tests.faults.case import Case, adder
from tests.faults.user import bntt, called, images, trained

CASES: list[Case] = []
case = adder(CASES)
FEW = ["--images", "20", "--draws", "1", "--eps", "8/255", "--attack", "fgsm"]
EOT = ["--eot", "2", "--steps", "2"]


def attacked(fault: int, what: str, expect: str, *args: str, direct: bool = False) -> None:
    """A run under attack."""
    settings = ["encoder.name=direct"] if direct else []
    case(fault, what, expect)(lambda tmp: bntt("attack", str(trained(tmp, *settings)), *args))


attacked(94, "--eps below 0", r"exit 2: .*eps must be above 0 and at most 1", "--eps=-8/255")
attacked(94, "--eps nan", r"exit 2: .*eps must be above 0 and at most 1", "--eps", "nan")
attacked(94, "--eps 0", r"exit 2: .*with 0 it is the clean accuracy", "--eps", "0")
attacked(94, "--eps 8 for 8/255", r"exit 2: .*do you mean 8/255\?", "--eps", "8")
attacked(94, "more images than there are", r"exit 2: .*--images 1001: the test split .* has 1000", "--images", "1001")
attacked(
    94, "several draws of direct coding", r"exit 2: .*--eot 4: this model is not random", "--eot", "4", direct=True
)


@case(
    94, "a gradient that is zero everywhere", r"exit 7: .*the gradient is zero in every pixel of 100.0% of the images"
)
def hidden(tmp: Path) -> str:
    real = attacks.descend

    def without(model, pixels, labels, threat, **options):
        found = real(model, pixels, labels, threat, **options)
        return type(found)(pixels, found.zero | True)

    with mock.patch.object(attacks, "descend", without):
        return bntt("attack", str(trained(tmp)), *FEW, *EOT)


def shown() -> tuple[SpikingClassifier, torch.Tensor, torch.Tensor]:
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4)
    return SpikingClassifier(DirectEncoder(4), net), images().mul(255).round() / 255, torch.tensor([0, 1, 2, 0])


@case(94, "a model in training mode (measured as in evaluation, and left as it was)", r"ok: \(True, True\)$")
def in_training(_: Path) -> str:
    model, pixels, labels = shown()
    expected = input_gradient(model.eval(), pixels, labels, estimator="exact").gradient
    found = input_gradient(model.train(), pixels, labels, estimator="exact").gradient
    return called(lambda: (torch.equal(found, expected), model.training))


@case(94, "attacked images kept as bytes (1/255 is one of them, and stays)", r"ok: True$")
def as_bytes(_: Path) -> str:
    model, pixels, labels = shown()
    changed = descend(model.eval(), pixels, labels, Threat(1 / 255, draws=1), estimator="exact").images
    moved = changed.mul(255).round().to(torch.uint8).int() - pixels.mul(255).round().int()
    return called(lambda: torch.equal(moved.abs(), (changed != pixels).int()))


@case(95, "an attack stopped half way, and begun again", r"exit 130: .* then the rows of one that was not stopped$")
def half_way(tmp: Path) -> str:
    run, real, done = trained(tmp), attacks.run_job, []

    def stopping(*args):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(args)
        return real(*args)

    with mock.patch.object(attacks, "BATCH", 10):
        with mock.patch.object(attacks, "run_job", stopping):
            stopped = bntt("attack", str(run), *FEW, *EOT)
        kept = [json.loads(path.read_text()) for path in (run / "attack").glob("*.json")]
        assert sorted(one["complete"] for one in kept) == [False, True], "the third batch was of the second attack"
        assert not (run / "attack.json").exists()
        bntt("attack", str(run), *FEW, *EOT)
        again = _rows(run)
        bntt("attack", str(trained(tmp / "other")), *FEW, *EOT)
    return f"{stopped} then " + (
        "the rows of one that was not stopped" if again == _rows(tmp / "other" / "demo") else ""
    )


def _rows(run: Path) -> list[dict[str, object]]:
    rows = json.loads((run / "attack.json").read_text())["rows"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
