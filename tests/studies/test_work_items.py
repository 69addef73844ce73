"""What is used again, what is measured further and what is made, and why."""

import json
from dataclasses import replace

import pytest

from bntt.io.errors import DataError
from bntt.io.files import digest
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.studies.measures import measure_from
from bntt.studies.plan import EACH, check_possible, decide_actions, overview, plan_study, work_items
from bntt.studies.pool import lacking
from bntt.studies.study_file import parse_study
from tests.studies.kept import epochs, keep, of_runs, small, study


def items(*studies):
    planned = [(f"s{n}", plan_study(parse_study(one, f"s{n}"), "small")) for n, one in enumerate(studies or (study(),))]
    return work_items(planned)


def decided(found, *folders):
    decide_actions(found, folders)
    return [(item.action, item.start.run, item.start.seed) for item in found]


def with_activity(run):
    (run / "activity.json").write_text(json.dumps({"split": "test", "arguments": {}}))
    return run


def test_what_was_kept_without_weights_is_used_again(pool, tmp_path):
    results = tmp_path / "results"
    with_activity(keep(results / "a", small()))
    keep(results / "b", small("network.norm=none", "seed=1"))
    found = items()
    assert decided(found, pool, results)[0] == ("reuse", "bntt", 0)
    assert decided(found, pool, results)[3] == ("reuse", "none", 1)
    assert found[0].why == str(results / "a")


def test_a_measure_that_is_missing_is_made_where_weights_are_in_the_pool(pool, tmp_path):
    """Of a run that lies elsewhere nothing is copied: it is made anew."""
    found = items()
    keep(pool / found[0].place, small(), weights=True)
    keep(tmp_path / "results" / found[1].place, small("seed=1"), weights=True)
    actions = decided(found, pool, tmp_path / "results")
    assert actions[0][0] == "measure"
    assert actions[1][0] == "train"
    assert lacking(found[0].kept[0], found[0].measures.values()) == [measure_from("activity", {})]
    assert found[1].why == f"{tmp_path / 'results' / found[1].place} lacks activity"


def test_other_data_and_other_numerics_are_no_use(pool):
    with_activity(keep(pool / "a", small(), sums={"train": "x", "test": "y"}))
    with_activity(keep(pool / "b", small("seed=1"), numerics=0))
    found = items()
    assert [action for action, *_ in decided(found, pool)[:2]] == ["train", "train"]
    assert "was made with other data" in found[0].why
    assert "was made by code that gives other numbers" in found[1].why


def test_a_training_that_was_stopped_stands_for_no_start(pool, tmp_path):
    longer = ["network.width=0.125", "train.epochs=6"]
    settings = {"small": {"recipe": "demo", "set": longer, "seeds": [0, 1]}}
    stopped = with_activity(keep(tmp_path / "results" / "stopped", small("train.epochs=6"), weights=True))
    epochs(stopped, 3)
    found = items(study(settings=settings))
    assert decided(found, pool, tmp_path / "results")[0][0] == "train"
    assert found[0].why == f"{stopped} has 3 of 6 epochs"
    with_activity(keep(pool / "whole", small("train.epochs=6")))
    assert decided(found, pool, tmp_path / "results")[0][0] == "reuse"


def test_without_its_data_what_was_kept_is_used_if_it_was_made_with_one_data(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "nothing"))
    found = items(of_runs({"name": "a", "small": {"recipe": "cifar10-small"}}))
    keep(pool / "0", load_recipe("cifar10-small"))
    assert [action for action, *_ in decided(found, pool)] == ["reuse", "cannot"]
    assert "bntt data prepare cifar10" in found[1].why
    keep(pool / "1", load_recipe("cifar10-small", ["seed=1"]), sums={"train": "other"})
    assert [action for action, *_ in decided(found, pool)] == ["reuse", "cannot"]


def test_images_of_a_folder_are_nobodys_until_it_is_named(pool):
    runs = [{"name": "a", "set": ["data.name=images"], "small": {"seeds": [0]}}]
    found = items(of_runs(*runs))
    keep(pool / "a", small("data.name=images"))
    assert decided(found, pool) == [("cannot", "a", 0)]
    assert "--data images=FOLDER" in found[0].why


CONVERTED = [
    {"name": "ann", "small": {"recipe": "fashion-mnist-ann", "set": ["data.name=fashion-mnist-bundled"], "seeds": [0]}},
    {
        "name": "converted",
        "begins_with": "ann",
        "small": {"recipe": "fashion-mnist-conversion", "set": ["data.name=fashion-mnist-bundled"], "seeds": [0]},
    },
]


def test_an_ann_needs_weights_only_where_something_begins_with_it(pool):
    one = of_runs(*CONVERTED)
    ann, converted = items(one)
    keep(pool / "ann", ann.recipe)
    assert decided([ann, converted], pool) == [("train", "ann", 0), ("train", "converted", 0)]
    assert ann.why.endswith("ann lacks its weights")
    assert converted.ann is ann
    begun = replace(converted.recipe.convert, ann=str(pool / "ann"))
    keep(pool / "converted", replace(converted.recipe, convert=begun))
    assert decided([ann, converted], pool) == [("reuse", "ann", 0), ("reuse", "converted", 0)]


def test_what_begins_with_an_ann_needs_one_of_its_seed():
    later = CONVERTED[1] | {"small": CONVERTED[1]["small"] | {"seeds": [0, 1]}}
    with pytest.raises(RecipeError, match="study s0, runs converted: begins with ann, which has no start of seed 1"):
        items(of_runs(CONVERTED[0], later))


def test_data_of_two_sizes_are_two(monkeypatch):
    monkeypatch.setattr("bntt.studies.plan.data_checksums", lambda recipe: {"train": str(recipe.data.size)})
    runs = [{"name": f"x{size}", "set": ["data.name=images", f"data.size={size}"]} for size in (16, 24)]
    assert [item.sums["train"] for item in items(of_runs(*runs))] == ["16", "16", "24", "24"]


def test_a_run_that_began_with_other_weights_than_are_there_is_no_use(pool, tmp_path):
    source = tmp_path / "source"
    of = f"init.run={source}"
    run = with_activity(keep(pool / "a", small(of)))
    runs = [{"name": "a", "set": [of], "measures": ["activity"], "small": {"seeds": [0]}}]
    found = items(of_runs(*runs))
    assert decided(found, pool) == [("reuse", "a", 0)]
    (source / "checkpoints").mkdir(parents=True)
    (best := source / "checkpoints" / "best.safetensors").write_bytes(b"weights")
    told = json.loads((run / "evaluation.json").read_text())
    for known, action in ((digest(best), "reuse"), ("0" * 64, "train")):
        begun = {"run": "source", "updates": 1, "seconds": 1.0, "weights_sha256": known}
        (run / "evaluation.json").write_text(json.dumps(told | {"begun_with": begun}))
        assert decided(found, pool) == [(action, "a", 0)]
    assert found[0].why == f"{run} began with other weights than {source} has"


def test_studies_share_their_starts_and_add_their_measures():
    more = of_runs({"name": "same", "measures": ["energy"]})
    found = items(study(), more)
    assert len(found) == 4
    assert found[0].needed_by == ["s0: bntt, seed 0", "s1: same, seed 0"]
    assert {measure.kind for measure in found[0].measures.values()} == {"activity", "energy"}


@pytest.fixture
def pool(tmp_path):
    (tmp_path / "pool").mkdir()
    return tmp_path / "pool"


def test_of_two_whole_ones_the_one_named_by_its_content_is_first_and_then_by_name(pool, tmp_path):
    found = items()
    for name in ("b", "a", found[0].place):
        with_activity(keep(tmp_path / "results" / name, small()))
    decided(found, pool, tmp_path / "results")
    assert [run.path.name for run in found[0].kept] == [found[0].place, "a", "b"]
    assert found[0].why.endswith(found[0].place)


def test_a_dry_run_lists_few_runs_and_counts_many(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "none"))
    few, many = items(), items(study(settings=at("cifar10", EACH)), study(settings=at("demo", 1)))
    for found in (few, many):
        decide_actions(found, [pool])
    lines = list(overview(few))
    assert lines[0] == "made            s0: bntt, seed 0: no kept run matches"
    assert lines[4:] == ["4 runs: 0 are used again, 0 are measured further, 4 are made, 0 cannot be made"]
    lacks, counted = overview(many)
    assert lacks.startswith(f"{2 * EACH} cannot be made: cifar10 is not here: bntt data prepare cifar10 --download")
    assert counted.endswith(f"2 are made, {2 * EACH} cannot be made")
    check_possible(many)
    with pytest.raises(DataError, match=r"^nothing can be made: cifar10 is not here: [^;]*$"):
        check_possible([item for item in many if item.action == "cannot"])


def at(recipe, seeds):
    return {"small": {"recipe": recipe, "set": ["network.width=0.25"], "seeds": list(range(seeds))}}
