"""What studies need, on one screen."""

import pytest

from bntt.io.errors import DataError
from bntt.studies.plan import EACH, StudyPlan, check_possible, decide_actions, missing, overview
from tests.studies.kept import study
from tests.studies.test_work_items import items


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "none"))
    (tmp_path / "pool").mkdir()
    return tmp_path / "pool"


def at(recipe, seeds):
    return study(settings={"small": {"recipe": recipe, "set": ["network.width=0.25"], "seeds": list(range(seeds))}})


def planned(pool, *studies):
    found = items(*studies)
    decide_actions(found, [pool])
    return StudyPlan("small", (), tuple(found))


def test_few_runs_are_told_one_by_one_with_the_hours_of_all(pool):
    lines = list(overview(planned(pool, study()), 1))
    assert lines[0] == "made            s0: bntt, seed 0: no kept run matches"
    assert lines[4] == "made, by dataset:"
    assert lines[5].startswith("  fashion-mnist-bundled: 4 runs of s0 (4), about ")
    assert lines[6] == "4 runs: 0 are used again, 0 are measured further, 4 are made, 0 cannot be made"
    assert lines[7].endswith("of training by a model, on 1 core; measurements come on top of it")
    assert len(lines) == 8


def test_many_are_a_line_for_each_dataset_and_more_cores_take_less(pool):
    found = planned(pool, at("cifar10", EACH), at("tiny-imagenet", 1), at("demo", 1))
    check_possible(found.items)
    one, two = (list(overview(found, cores)) for cores in (1, 2))
    assert [line.partition(": 2")[0].partition(": 4")[0] for line in one[:4]] == [
        "made, by dataset:",
        "  fashion-mnist-bundled",
        "cannot be made, by what is missing:",
        "  cifar10 is not here: bntt data prepare cifar10 --download",
    ]
    assert "tiny-imagenet is not here" in one[4]
    assert f"{2 * EACH} runs of s0 ({2 * EACH}), about" in one[3]
    assert hours(one[3]) == pytest.approx(2 * hours(two[3]), rel=0.02)
    assert len(one) == 7


def hours(line):
    return float(line.partition(", about ")[2].partition(" hours")[0].replace(",", ""))


def test_a_line_says_what_is_missing_and_for_how_many(pool):
    found = planned(pool, at("cifar10", 2), at("demo", 1))
    (line,) = missing(found.items)
    assert line.startswith("4 cannot be made: cifar10 is not here: bntt data prepare cifar10 --download")


def test_where_all_lack_their_data_nothing_can_be_made(pool):
    found = planned(pool, at("cifar10", 1), at("tiny-imagenet", 1))
    with pytest.raises(DataError) as refused:
        check_possible(found.items)
    assert str(refused.value).startswith("nothing can be made: cifar10 is not here: bntt data prepare cifar10 --down")
    assert str(refused.value).count("tiny-imagenet is not here") == 1
