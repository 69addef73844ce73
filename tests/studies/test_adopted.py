"""What a run that is taken over from results brings with it."""

from dataclasses import replace

import pytest

from bntt.studies.work_items import jobs_of
from tests.studies.kept import keep, study
from tests.studies.test_work_items import CONVERTED, decided, items, with_activity


@pytest.fixture
def pool(tmp_path):
    for name in ("pool", "pool/recipes", "pool/locks"):
        (tmp_path / name).mkdir()
    return tmp_path / "pool"


def test_a_conversion_from_elsewhere_brings_the_ann_beside_it(pool, tmp_path):
    """Whose old place is gone: else nobody would find what was measured."""
    measured = CONVERTED[1] | {"measures": ["activity"]}
    ann, converted = found = items(study(runs=[CONVERTED[0], measured], claims=None, figures=None))
    keep(tmp_path / "results" / "ann-x", ann.recipe, weights=True)
    begun = replace(converted.recipe.convert, ann="/gone/pool/ann-x")
    keep(tmp_path / "results" / "conv-x", replace(converted.recipe, convert=begun), weights=True)
    assert decided(found, pool, tmp_path / "results")[1] == ("adopt", "converted", 0)
    jobs = jobs_of(converted, pool, "cpu")
    next(jobs)
    with_activity(pool / converted.place)
    assert next(jobs, None) is None
    assert (pool / "ann-x" / "recipe.toml").is_file()
    assert decided(found, pool, tmp_path / "results")[1] == ("reuse", "converted", 0)
