"""The record of stability: metrics by hand, what it shows, and kept files that it reads."""

import json
import math

import pytest

from bntt.analysis.result import result_from
from bntt.analysis.stability.gradients import AlongGradient
from bntt.charts.files import draw_figure
from bntt.runs.stability import MIXED, Moment, StabilityResult, Start, failures
from tests.evidence import RESULTS

KEPT = sorted(RESULTS.glob("**/stability*.json"))
ALONG = AlongGradient(steps=(0.1, 0.2), start=2.3, norm=1.5, loss=(2.0, 2.5), change=(0.3, 0.6))
LOST = AlongGradient(steps=(0.1, 0.2), start=2.3, norm=math.inf, loss=(math.nan, math.inf), change=(math.nan, math.nan))


def starts(norms=("none", "bntt"), networks=("vgg6", "vgg9"), along=ALONG):
    found = []
    for network in networks:
        for norm in norms:
            for rate in (0.1, 1.0, 10.0):
                for start in range(2):
                    lost = rate == 10 or (rate == 1 and norm == "none" and start == 1)
                    gradient = {"conv1": [rate, 0.0, math.nan], "fc1": [2.0, 3.0, 4.0]}
                    facts = {"network": network, "norm": norm, "rate": rate, "start": start, "updates": 10}
                    facts |= {"accuracy": math.nan if lost else 0.5, "failed": "not finite" if lost else ""}
                    moments = tuple(Moment(updates=n, gradient=gradient, along=along) for n in (0, 10))
                    found.append(Start(**facts, chance=0.1, moments=moments))
    return found


def result(cells):
    settings = {"data": {"name": "demo", "label": ""}, "steps": 10, "gradients_of": MIXED}
    return StabilityResult(settings=settings, shares=failures(cells), cells=cells)


def test_metrics_by_hand():
    found = result(starts())
    read = {name: metric.read for name, metric in found.metrics().items()}
    assert read["failed-starts"](found, None) == pytest.approx(100 * 10 / 24)
    assert read["reached-accuracy"](found, None) == pytest.approx(100 * (14 * 0.5 + 10 * 0.1) / 24)
    assert read["gradient-change"](found, 0.1) == pytest.approx(100 * 0.3 / 1.5)
    assert read["gradient-change"](found, 0.5) is None
    old = found.model_copy(update={"settings": {**found.settings, "gradients_of": ""}})
    assert read["gradient-change"](old, 0.1) is None, "of a batch that may be one class"
    lost = result(starts(along=LOST))
    assert lost.metrics()["gradient-change"].read(lost, 0.1) is None


def test_what_is_shown():
    found = result(starts())
    assert found.title == "demo: stability of training"
    section = found.section()
    two = result([one.model_copy(update={"chance": 0.5}) for one in starts()]).section()
    assert ["below twice chance in" in section.words[0], "below 75 % in" in two.words[0]] == [True, True]
    assert [cell.text for cell in section.tables[1].rows[0]] == ["none", "0 of 2", "1 of 2", "2 of 2"]
    shares, gradients, losses = (figure.charts for figure in found.figures())
    assert [chart.title for chart in shares] == ["vgg6: starts that failed", "vgg9: starts that failed"]
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
    assert KEPT
    for path in KEPT:
        values = json.loads(path.read_text())
        values = values.get("values", values)
        found = result_from(StabilityResult, values)
        data = values["settings"]["data"]
        added = {"arguments": None, "epoch": None, "dataset": data["label"] or data["name"], "split": "validation"}
        assert found.to_json() == added | values, path
        assert found.figures()
