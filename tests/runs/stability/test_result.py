"""The record of stability: metrics by hand, what it shows, and kept files that it reads."""

import itertools
import json
import math

import pytest

from bntt.analysis.result import result_from
from bntt.analysis.stability.gradients import AlongGradient
from bntt.charts.files import draw_figure
from bntt.runs.stability import MIXED, Moment, StabilityResult, Start, failures
from tests.evidence import RESULTS

ALONG = AlongGradient(steps=(0.1, 0.2), start=2.3, norm=1.5, loss=(2.0, 2.5), change=(0.3, 0.6))
LOST = AlongGradient(steps=(0.1, 0.2), start=2.3, norm=math.inf, loss=(math.nan, math.inf), change=(math.nan, math.nan))


def starts(norms=("none", "bntt"), networks=("vgg6", "vgg9"), along=ALONG):
    found = []
    for network, norm, rate, start in itertools.product(networks, norms, (0.1, 1.0, 10.0), (0, 1)):
        lost = rate == 10 or (rate == 1 and norm == "none" and start == 1)
        gradient = {"conv1": [rate, 0.0, math.nan], "fc1": [2.0, 3.0, 4.0]}
        facts = {"network": network, "norm": norm, "rate": rate, "start": start, "updates": 10, "chance": 0.1}
        facts |= {"accuracy": math.nan if lost else 0.5, "failed": "not finite" if lost else ""}
        moments = tuple(Moment(updates=n, gradient=gradient, along=along) for n in (0, 10))
        found.append(Start(**facts, moments=moments))
    return found


def result(cells):
    settings = {"data": {"name": "demo", "label": ""}, "steps": 10, "gradients_of": MIXED}
    return StabilityResult(settings=settings, shares=failures(cells), cells=cells)


def test_metrics_by_hand():
    found, lost = result(starts()), result(starts(along=LOST))
    old = found.model_copy(update={"settings": {**found.settings, "gradients_of": ""}})
    for name, of, place, expected in (
        ("failed-starts", found, None, 100 * 10 / 24),
        ("reached-accuracy", found, None, 100 * (14 * 0.5 + 10 * 0.1) / 24),
        ("gradient-change", found, 0.1, 100 * 0.3 / 1.5),
        ("gradient-change", found, 0.5, None),
        ("gradient-change", old, 0.1, None),  # of a batch that may be one class
        ("gradient-change", lost, 0.1, None),
        ("gradient-change-at-loss", found, 5.0, 100 * 0.3 * (0.05 * 2.3 / 0.3) / 1.5),
        ("gradient-change-at-loss", found, 50.0, None),
        ("gradient-change-at-loss", lost, 5.0, None),
    ):
        read = of.metrics()[name].read(of, place)
        assert read == (None if expected is None else pytest.approx(expected)), (name, place)


def test_what_is_shown():
    found = result(starts())
    assert found.title == "demo: stability of training"
    assert [cell.text for cell in found.section().tables[1].rows[0]] == ["none", "0 of 2", "1 of 2", "2 of 2"]
    shares, gradients, losses = (figure.charts for figure in found.figures())
    assert {bar.name: bar.values for bar in shares[1].bars} == {"none": [0, 0.5, 1], "bntt": [0, 0, 1]}
    assert gradients[0].values == [[1.0, None, None], [2.0, 3.0, 4.0]]  # the rate 1: the last at which both trained
    assert (gradients[0].value.low, gradients[0].value.high) == (1.0, 4.0)
    true, promised = losses[0].lines[:2]
    assert true.x == pytest.approx([0, 0.1, 0.2])
    assert true.y == [2.3, 2.0, 2.5]
    assert promised.y == pytest.approx([2.3, 2.3 - 0.225, 2.3 - 0.45])
    assert promised.dashed
    assert losses[0].y.high == losses[1].y.high == pytest.approx(1.05 * 2.5)


def test_few_or_lost_starts_can_be_drawn():
    few, lost = (starts(("layer",), ("mlp",), along) for along in (ALONG, LOST))
    for cells in (few[:1], [lost[-1].model_copy(update={"start": 0})]):
        found = result(cells)
        assert "NaN" not in json.dumps(found.to_json())
        for figure in found.figures():
            draw_figure(figure)


def test_kept_files_are_read_whole():
    kept = sorted(RESULTS.glob("**/stability*.json"))
    assert kept
    for path in kept:
        values = json.loads(path.read_text())
        values = values.get("values", values)
        found, data = result_from(StabilityResult, values), values["settings"]["data"]
        added = {"arguments": None, "epoch": None, "dataset": data["label"] or data["name"], "split": "validation"}
        assert found.to_json() == added | values, path
        assert found.figures()
