"""What is packed: no place of this machine, never less than what was there, weights of one start a norm."""

import json

import pytest
import torch

from bntt.io.archive import SUMS, read_alone, read_archive
from bntt.io.checkpoint import CheckpointError, load_checkpoint, read_checkpoint
from bntt.runs.recipe.schema import RecipeError
from bntt.studies import evidence as packing
from bntt.studies.evidence import WEIGHTS, Evidence, pack_results
from bntt.studies.plan import Folders, plan
from bntt.studies.pool import ann_place, kept_run
from bntt.studies.study_file import parse_study
from bntt.studies.study_result import results_of
from tests.studies.kept import checkpoint, keep, small, study


@pytest.fixture
def places(tmp_path):
    pool = tmp_path / "pool"
    for seed in (0, 1):
        keep(pool / f"bntt-{seed}", small(f"seed={seed}"))
        keep(pool / f"none-{seed}", small("network.norm=none", f"seed={seed}"))
    return Folders(pool, (), tmp_path / "out")


def found(places, **changed):
    places.pool.mkdir(exist_ok=True)
    return results_of(plan([parse_study(study(**changed), "s0")], "small", places), places, [])[0]


def with_weights(places, *names, value=1 / 3):
    for name in names:
        folder = places.pool / name / "checkpoints"
        folder.mkdir()
        checkpoint(folder / "best.safetensors", value)


def activity(place):
    (place / "measures").mkdir()
    kept = {"kind": "activity", "arguments": {}, "of": {}, "values": {"split": "test", "n": 1}}
    (place / "measures" / "activity-1.json").write_text(json.dumps(kept))


def test_no_place_of_this_machine_is_packed(places, tmp_path):
    for name in ("bntt-0", "none-1"):
        recipe = places.pool / name / "recipe.toml"
        recipe.write_text(recipe.read_text().replace('root = ""', f'root = "{tmp_path}/cifar10"'))
        told = places.pool / name / "environment.json"
        told.write_text(json.dumps(json.loads(told.read_text()) | {"command": ["--pool", str(places.pool)]}))
    with_weights(places, "bntt-0")
    pack_results([found(places)], tmp_path / "kept")
    pack_results([found(places)], tmp_path / "there.tar.xz")
    files = dict(read_archive(tmp_path / "kept" / "s0.tar.xz"))
    assert b'root = ".../cifar10"' in files["bntt-0/recipe.toml"]
    every = [*files.values(), *read_alone(tmp_path / "there.tar.xz").values()]
    every += [content for _, content in read_archive(tmp_path / "kept" / "weights-s0.tar.xz")]
    every.append((tmp_path / "kept" / "s0.json").read_bytes())
    for content in every:
        assert str(tmp_path).encode() not in content
        assert b"/home/me" not in content
    again = Folders(tmp_path / "empty", (tmp_path / "kept",), places.out)
    assert [one.state for one in found(again).found.values()] == ["done"] * 4, "each still stands for its start"


def test_runs_of_one_name_in_two_archives_stay_two(places, tmp_path):
    """Archives of a folder are unpacked side by side: on another machine a run of a start has the same name."""
    other = tmp_path / "other"
    for seed in (0, 1):
        keep(other / f"bntt-{seed}", small(f"seed={seed}"), accuracy=0.6)
    pack_results([found(places)], tmp_path / "kept")
    here = Folders(other, (), places.out)
    pack_results(results_of(plan([parse_study(study(), "s1")], "small", here), here, []), tmp_path / "kept")
    names = {name.split("/")[0] for name, _ in read_archive(tmp_path / "kept" / "s1.tar.xz")}
    assert {name[:6] for name in names} == {"bntt-0", "bntt-1"}
    assert not {"bntt-0", "bntt-1"} & names


def test_a_run_finds_its_ann_when_another_has_the_name_of_it(tmp_path):
    evidence = Evidence()
    for place, accuracy in (("a", 0.8), ("b", 0.6)):
        keep(tmp_path / place / "ann", small("seed=3"), accuracy=accuracy)
        ann = tmp_path / place / "ann"
        run = keep(
            tmp_path / place / f"run-{place}", small(f"convert.ann={ann}", "network.norm=none"), accuracy=accuracy
        )
        evidence.add(kept_run(run))
    for name, content in evidence.files.items():
        (tmp_path / "packed" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "packed" / name).write_bytes(content)
    for place, accuracy in (("a", 0.8), ("b", 0.6)):
        run = kept_run(tmp_path / "packed" / f"run-{place}")
        ann = ann_place(run.recipe, run.path, run.evaluation)
        assert json.loads((ann / "evaluation.json").read_text())["accuracy"] == accuracy


def losing(places, target):
    """An archive of all four starts, and a result of three of them."""
    activity(places.pool / "bntt-1")
    pack_results([found(places)], target)
    (places.pool / "none-1" / "evaluation.json").unlink()
    return found(places)


@pytest.mark.parametrize("target", ["kept", "there.tar.xz"])
def test_less_never_replaces_more(places, tmp_path, target):
    target = tmp_path / target
    result = losing(places, target)
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*.tar.xz")}
    with pytest.raises(RecipeError, match=r"holds none-1/environment\.json and \d more, which this result has not"):
        pack_results([result], target)
    empty = Folders(tmp_path / "empty", (), places.out)
    with pytest.raises(RecipeError, match=r"holds bntt-0/environment\.json and \d+ more, which"):
        pack_results([found(empty)], target)
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.tar.xz")} == before


def test_less_measured_never_replaces_more(places, tmp_path):
    activity(places.pool / "bntt-1")
    pack_results([found(places)], tmp_path / "kept")
    (places.pool / "bntt-1" / "measures" / "activity-1.json").unlink()
    with pytest.raises(RecipeError, match=r"holds bntt-1/measures/activity-1\.json, which this result has not"):
        pack_results([found(places)], tmp_path / "kept")


def test_what_is_read_too_is_kept(places, tmp_path):
    losing(places, tmp_path / "kept")
    both = Folders(places.pool, (tmp_path / "kept",), places.out)
    pack_results([found(both)], tmp_path / "kept")
    names = {name.split("/")[0] for name, _ in read_archive(tmp_path / "kept" / "s0.tar.xz")}
    assert names == {"bntt-0", "bntt-1", "none-0", "none-1"}


@pytest.mark.parametrize("target", ["kept", "there.tar.xz"])
def test_other_runs_of_the_same_names_never_replace_those_in_place(places, tmp_path, target):
    other = Folders(tmp_path / "other", (), places.out)
    for seed in (0, 1):
        keep(other.pool / f"bntt-{seed}", small(f"seed={seed}"), accuracy=0.3, processor="Q")
        keep(other.pool / f"none-{seed}", small("network.norm=none", f"seed={seed}"), accuracy=0.3, processor="Q")
    pack_results([found(places)], tmp_path / target)
    with pytest.raises(RecipeError, match=r"holds bntt-0/environment\.json and 15 more, which"):
        pack_results([found(other)], tmp_path / target)


def test_weights_of_one_start_a_norm_are_kept_in_float16(places, tmp_path):
    with_weights(places, "bntt-0", "bntt-1", "none-1")
    summary, archive, weights = pack_results([found(places)], tmp_path / "kept")
    assert (summary.name, archive.name, weights.name) == ("s0.json", "s0.tar.xz", "weights-s0.tar.xz")
    kept = dict(read_archive(weights))
    assert list(kept) == [f"bntt-0/{WEIGHTS}", f"none-1/{WEIGHTS}"], "the first of each norm that has any"
    (tmp_path / "w.safetensors").write_bytes(kept[f"bntt-0/{WEIGHTS}"])
    tensors, facts = read_checkpoint(tmp_path / "w.safetensors")
    assert torch.equal(tensors["model.network.fc.weight"], torch.full((2, 2), 1 / 3).half())
    assert torch.equal(tensors["model.network.norm.gamma"], torch.ones(2, 2) / 3), "γ is not rounded"
    assert facts == {"epoch": 0, "recipe": {"data": {"root": ".../cifar10"}}, "rounded": "float16"}
    network = torch.nn.ModuleDict(
        {"network": torch.nn.ModuleDict({"fc": torch.nn.Module(), "norm": torch.nn.Module()})}
    )
    network["network"]["fc"].weight = torch.nn.Parameter(torch.ones(2, 2))
    network["network"]["norm"].gamma = torch.nn.Parameter(torch.ones(2, 2))
    load_checkpoint(tmp_path / "w.safetensors", network)
    assert network["network"]["fc"].weight.dtype == torch.float32
    assert not dict(read_archive(archive)).keys() & kept.keys()


def test_weights_that_were_kept_stay_the_same_whatever_is_in_the_pool(places, tmp_path):
    with_weights(places, "bntt-1")
    *_, weights = pack_results([found(places)], tmp_path / "kept")
    before, listed = weights.read_bytes(), (tmp_path / "kept" / SUMS).read_text()
    with_weights(places, "bntt-0", value=0.5)
    for folder in (tmp_path / "empty", places.pool):
        pack_results([found(Folders(folder, (tmp_path / "kept",), places.out))], tmp_path / "kept")
        assert weights.read_bytes() == before
        assert (tmp_path / "kept" / SUMS).read_text() == listed
    files = read_alone(pack_results([found(places)], tmp_path / "there.tar.xz")[0])
    assert f"bntt-0/{WEIGHTS}" in files, "one file for another machine has them too"


def test_studies_that_share_a_run_keep_its_weights_once_and_all_together_have_a_bound(places, tmp_path, monkeypatch):
    with_weights(places, "bntt-0", "none-0")
    pack_results([found(places)], tmp_path / "kept")
    planned = plan([parse_study(study(), "s1")], "small", places)
    assert len(pack_results(results_of(planned, places, []), tmp_path / "kept")) == 2, "s1 has the same runs"
    monkeypatch.setattr(packing, "ROOM", 700)
    with pytest.warns(UserWarning, match=r"the weights none-0/.* are left out of the evidence: of 700 bytes for all"):
        files = read_alone(pack_results([found(places)], tmp_path / "there.tar.xz")[0])
    assert sum(name.endswith(WEIGHTS) for name in files) == 1


def test_damaged_weights_are_none(places, tmp_path):
    with_weights(places, "bntt-1")
    (places.pool / "bntt-0" / "checkpoints").mkdir()
    (places.pool / "bntt-0" / "checkpoints" / "best.safetensors").write_bytes(b"weights")
    *_, weights = pack_results([found(places)], tmp_path / "kept")
    assert [name for name, _ in read_archive(weights)] == [f"bntt-1/{WEIGHTS}"]


def test_a_damaged_archive_is_not_replaced(places, tmp_path):
    pack_results([found(places)], tmp_path / "kept")
    (tmp_path / "kept" / "s0.tar.xz").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"s0\.tar\.xz is damaged or was replaced.*delete it and pack anew"):
        pack_results([found(places)], tmp_path / "kept")
