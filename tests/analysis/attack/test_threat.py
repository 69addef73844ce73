"""What an attacker may do: step sizes, passes, and what is no threat."""

import math

import pytest

from bntt.analysis.attack.threat import Threat


def test_steps_and_passes():
    assert Threat(0.1).length == 0.1
    assert Threat(0.1, steps=10).length == pytest.approx(0.025)
    assert Threat(0.1, steps=10, step_size=0.3).length == 0.3
    assert Threat(0.1, steps=3, draws=5).passes == 15
    assert Threat(0.1, steps=3, draws=5, restarts=2, random_start=True).passes == 2 * 15 + 2 * 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eps": 0.0}, "of 0 the accuracy is the clean one"),
        ({"eps": -0.1}, "eps must be above 0"),
        ({"eps": math.nan}, "eps must be above 0"),
        ({"eps": math.inf}, "eps must be above 0"),
        ({"eps": 8}, "8/255 is meant"),
        ({"eps": 0.1, "steps": 0}, "steps must be 1 or more"),
        ({"eps": 0.1, "restarts": 0}, "restarts must be 1 or more"),
        ({"eps": 0.1, "draws": 0}, "draws must be 1 or more"),
        ({"eps": 0.1, "step_size": 0.0}, "step_size must be a finite number above 0"),
        ({"eps": 0.1, "step_size": math.nan}, "step_size"),
        ({"eps": 0.1, "restarts": 2}, "say random_start=True"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        Threat(**values)
