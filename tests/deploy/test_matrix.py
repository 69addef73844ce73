"""The page of parity is of today's models and norms, and says what is measured now."""

import json
from pathlib import Path

from bntt.models import MODELS
from bntt.nn import NORMS
from tests.deploy.matrix import TARGETS, Case, cases, outcome

KEPT = json.loads((Path(__file__).parents[2] / "quality" / "parity.json").read_text(encoding="utf-8"))
ROWS = {(row["model"], row["norm"]): row for row in KEPT["rows"]}


def test_it_has_every_model_and_norm():
    """Else make it anew: python docs/make.py --measure parity."""
    assert ROWS.keys() == {(model, norm) for model in MODELS for norm in NORMS}
    assert sum(row["cases"] for row in ROWS.values()) == len(list(cases()))
    assert not any(row["float64"]["ties"] or row["float64"]["largest"] > 1e-10 for row in ROWS.values())
    assert sum(row[target]["ties"] for row in ROWS.values() for target in TARGETS) < 0.005 * 2 * len(list(cases()))


def test_some_combinations_give_what_it_says():
    for case in (
        Case("mlp", "tab", "before", "hard", "sequence"),
        Case("vgg6", "bntt", "after", "soft", "poisson"),
        Case("resnet20", "tebn", "after", "hard", "direct"),
    ):
        found, row = outcome(case), ROWS[case.model, case.norm]
        assert found.spoke
        assert found.float64 < 1e-10
        assert max(found.float32, found.onnx) < 1e-4
        assert not row["refused"]
    refused = Case("mlp", "layer", "after", "soft", "frames")
    assert [outcome(refused).refused] == ROWS["mlp", "layer"]["refused"]
