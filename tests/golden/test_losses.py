"""What a training computes is what it was when the number of the numerics was last raised."""

import json

import pytest

from bntt.engine.kernels import find_backend
from bntt.runs.environment import NUMERICS
from tests.golden.losses import CASES, NUMERICS_KEY, WEIGHTS_KEY, losses, sizes_of_weights
from tests.golden.make_losses import FILE

KEPT = json.loads(FILE.read_text(encoding="utf-8"))
RAISE = (
    "the same recipe gives other numbers than before: if that is meant, raise NUMERICS in runs/environment.py, or, "
    "where one option alone changed, give it a version in runs/identity.py; then run "
    "python -m tests.golden.make_losses, and say under Numerics in CHANGELOG.md what changed"
)


def test_the_losses_are_those_of_this_number_and_differ_from_case_to_case():
    """A case that changes nothing guards nothing."""
    assert KEPT[NUMERICS_KEY] == NUMERICS, "NUMERICS was raised: python -m tests.golden.make_losses"
    assert KEPT.keys() - {NUMERICS_KEY, WEIGHTS_KEY} == CASES.keys()
    seen = [tuple(round(loss, 9) for loss in KEPT[name]) for name in CASES if not name.startswith("kernels")]
    assert len(set(seen)) == len(seen)


def test_a_seed_gives_the_weights_that_it_gave():
    assert sizes_of_weights() == pytest.approx(KEPT[WEIGHTS_KEY], rel=1e-6), RAISE


@pytest.mark.parametrize("name", CASES)
def test_small_trainings_give_the_losses_that_are_kept(name):
    """In float64 any other order of sums stays below 1e-9; kernels, and pixels as they are, take float32."""
    if name.startswith("kernels") and not find_backend("cpu").available:
        pytest.skip("the kernels are not built")
    found = losses(name)
    assert found == pytest.approx(KEPT[name], rel=1e-5 if "dtype" in CASES[name] else 1e-9), RAISE
