"""Jobs of a start: what each process is told, and what is kept of it."""

import json

import pytest

from bntt.runs.recipe.file import load_recipe
from bntt.studies.jobs import jobs_of
from bntt.studies.start_plan import plan_study
from bntt.studies.study_file import parse_study
from bntt.studies.work_items import decide, items_of
from tests.studies.kept import keep, small, study

ONE = {"name": "a", "set": ["network.norm=tab"], "small": {"seeds": [0]}}


@pytest.fixture
def pool(tmp_path):
    for name in ("pool", "pool/recipes", "pool/locks"):
        (tmp_path / name).mkdir()
    return tmp_path / "pool"


def item_of(pool, *folders, run, **measures):
    changed = {"table": None, "figures": None, "claims": None, "measures": measures}
    one = parse_study(study(runs=[ONE | run], **changed), "s")
    (item,) = items_of([("s", plan_study(one, "small"))])
    decide([item], [pool, *folders])
    return item


def test_a_training_comes_first_and_every_measurement_after_it(pool):
    item = item_of(pool, run={"measures": ["activity"]})
    jobs = jobs_of(item, pool, "cpu")
    doing, job = next(jobs)
    assert doing == "training"
    assert job == {
        "train": str(pool / "recipes" / f"{item.place}.toml"), "name": item.place, "root": str(pool), "device": "cpu",
    }  # fmt: skip
    assert load_recipe(job["train"]) == item.recipe
    keep(pool / item.place, item.recipe, weights=True)
    doing, job = next(jobs)
    assert (doing, job["measure"], job["arguments"]["draws"]) == ("measuring (activity)", "activity", 1)
    assert json.loads(json.dumps(job)) == job, "all of it is JSON"
    (pool / item.place / "activity.json").write_text('{"n": 1}')
    assert next(jobs, None) is None
    (measure,) = item.measures.values()
    kept = json.loads((pool / item.place / measure.file).read_text())
    assert (kept["kind"], kept["arguments"], kept["values"]) == ("activity", job["arguments"], {"n": 1})


@pytest.mark.parametrize(
    ("run", "measure", "asked", "file"),
    [
        ({}, {"kind": "retiming", "steps": 8, "longer": "hold"}, {"num_steps": 8}, "evaluation-8-steps-hold"),
        ({}, {"kind": "attack", "eps": [8], "eot": 3}, {"eps": ("8/255",), "eot": 3}, "attack"),
        ({"set": ["encoder.name=direct"]}, {"kind": "attack"}, {"eot": None}, "attack"),
        ({}, {"kind": "robust", "sigmas": [0.1], "images": 7}, {"sigmas": (0.1,), "images": 7, "draws": 3}, "robust"),
        ({"trained": False}, {"kind": "stability", "rates": [0.3]}, {"norms": ("tab",), "starts": 1}, "stability"),
    ],
    ids=["retiming", "attack", "attack without noise", "robust", "stability"],
)  # fmt: skip
def test_arguments_reach_the_measurement(pool, run, measure, asked, file):
    item = item_of(pool, run=run | {"measures": ["mine"]}, mine=measure)
    place = pool / item.place
    if item.start.trained:
        keep(place, item.recipe, weights=True)
        decide([item], [pool])
    _, job = next(jobs_of(item, pool, "cuda"))
    assert asked.items() <= job["arguments"].items()
    (one,) = item.measures.values()
    assert f"{file}.json" == one.written
    alone = not item.start.trained
    assert job["folder"] == str(place / f"stability-{one.digest}" if alone else place)
    assert (job["run"], job["device"]) == (str(place / "recipe.toml" if alone else place), "cuda")


def test_a_run_from_elsewhere_is_copied_whole_with_its_best_weights(pool, tmp_path):
    source = keep(tmp_path / "results" / "mine", small("network.norm=tab"))
    (source / "checkpoints").mkdir()
    for name in ("best.safetensors", "step-3.safetensors"):
        (source / "checkpoints" / name).write_bytes(b"weights")
    item = item_of(pool, tmp_path / "results", run={"measures": ["activity"]})
    assert item.action == "adopt"
    _, job = next(jobs_of(item, pool, "cpu"))
    assert job["run"] == str(pool / item.place)
    assert [path.name for path in (pool / item.place / "checkpoints").iterdir()] == ["best.safetensors"]


def test_what_is_there_needs_no_job(pool):
    item = item_of(pool, run={})
    keep(pool / item.place, item.recipe)
    decide([item], [pool])
    assert list(jobs_of(item, pool, "cpu")) == []
