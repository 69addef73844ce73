"""What is packed: no place of this machine, never less than what was there, weights of one start a norm."""

import json

import pytest
import torch

from bntt.io.archive import SUMS, pack, read_alone, read_archive
from bntt.io.checkpoint import CheckpointError, load_checkpoint, read_checkpoint
from bntt.runs.recipe.schema import RecipeError
from bntt.studies import pool
from bntt.studies.evidence import packing
from bntt.studies.evidence.packing import WEIGHTS, Evidence, pack_results
from bntt.studies.pool import ann_place, kept_run
from bntt.studies.run_studies import Folders, plan, results_of
from bntt.studies.study_file import parse_study
from bntt.studies.workers import Outcome
from tests.studies.kept import bundled_sums, checkpoint, keep, small, study


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


def evidence_of(place, name):
    """The files of a run in a folder of another name."""
    every = [one for one in place.rglob("*") if one.is_file()]
    return {f"{name}/{one.relative_to(place).as_posix()}": one.read_bytes() for one in every}


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


def test_two_runs_of_one_name_stay_two(places, tmp_path):
    """On another machine, or with gradients in another precision, a run of a start has the same name."""
    other = tmp_path / "other"
    for seed in (0, 1):
        keep(other / f"bntt-{seed}", small(f"seed={seed}", "compute.precision=bf16-grad"), accuracy=0.6)
    here = Folders(places.pool, (other,), places.out)
    pack_results([found(here)], tmp_path / "kept")
    names = {name.split("/")[0] for name, _ in read_archive(tmp_path / "kept" / "s0.tar.xz")}
    assert {name[:6] for name in names} == {"bntt-0", "bntt-1", "none-0", "none-1"}
    assert len(names) == 6
    packed = Folders(tmp_path / "empty", (tmp_path / "kept",), places.out)
    for one in (("bntt", 0), ("bntt", 1)):
        before, after = (found(which).found[one].runs() for which in (here, packed))
        made = [
            [(run.recipe.compute.precision, run.evaluation["accuracy"]) for run in runs] for runs in (before, after)
        ]
        assert sorted(made[0]) == sorted(made[1]) == [("bf16-grad", 0.6), ("fp32", 0.8)]
    content = (tmp_path / "kept" / "s0.tar.xz").read_bytes()
    pack_results([found(packed)], tmp_path / "kept")
    assert (tmp_path / "kept" / "s0.tar.xz").read_bytes() == content, "names stay"
    (tmp_path / "kept" / "s0.tar.xz").rename(tmp_path / "kept" / "another.tar.xz")
    sums = (tmp_path / "kept" / "SHA256SUMS").read_text()
    (tmp_path / "kept" / "SHA256SUMS").write_text(sums.replace("  s0.tar.xz", "  another.tar.xz"))
    pack_results([found(Folders(other, (), places.out))], tmp_path / "kept")
    beside = {name.split("/")[0] for name, _ in read_archive(tmp_path / "kept" / "s0.tar.xz")}
    assert not {"bntt-0", "bntt-1"} & beside, "archives are unpacked side by side: the names there are others' runs"


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


@pytest.mark.parametrize(
    ("target", "way"), [("kept", "read them too: --results"), ("there.tar.xz", "take that one in: --merge")]
)
def test_less_never_replaces_more(places, tmp_path, target, way):
    target = tmp_path / target
    result = losing(places, target)
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*.tar.xz")}
    with pytest.raises(RecipeError, match=rf"holds start 1 of none of s0, which this result has not.*{way}"):
        pack_results([result], target)
    empty = Folders(tmp_path / "empty", (), places.out)
    with pytest.raises(RecipeError, match=r"holds start 0 of bntt of s0 and 4 more, which"):
        pack_results([found(empty)], target)
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.tar.xz")} == before


def test_less_measured_never_replaces_more(places, tmp_path):
    activity(places.pool / "bntt-1")
    pack_results([found(places)], tmp_path / "kept")
    (places.pool / "bntt-1" / "measures" / "activity-1.json").unlink()
    with pytest.raises(RecipeError, match="holds activity of start 1 of bntt of s0"):
        pack_results([found(places)], tmp_path / "kept")


def test_what_is_read_too_is_kept_and_what_no_start_needs_may_go(places, tmp_path):
    losing(places, tmp_path / "kept")
    both = Folders(places.pool, (tmp_path / "kept",), places.out)
    pack_results([found(both)], tmp_path / "kept")
    names = {name.split("/")[0] for name, _ in read_archive(tmp_path / "kept" / "s0.tar.xz")}
    assert names == {"bntt-0", "bntt-1", "none-0", "none-1"}
    fewer = {"small": {**study()["settings"]["small"], "seeds": [0]}}
    pack_results([found(both, settings=fewer)], tmp_path / "kept")
    assert {name.split("/")[0] for name, _ in read_archive(tmp_path / "kept" / "s0.tar.xz")} == {"bntt-0", "none-0"}


def test_other_runs_of_the_same_starts_never_replace_those_in_place(places, tmp_path):
    other = Folders(tmp_path / "other", (), places.out)
    for seed in (0, 1):
        keep(other.pool / f"bntt-{seed}", small(f"seed={seed}"), accuracy=0.3, processor="Q")
        keep(other.pool / f"none-{seed}", small("network.norm=none", f"seed={seed}"), accuracy=0.3, processor="Q")
    for target in (tmp_path / "kept", tmp_path / "there.tar.xz"):
        pack_results([found(places)], target)
        with pytest.raises(RecipeError, match="holds another run of start 0 of bntt of s0 and 3 more, which"):
            pack_results([found(other)], target)
    both = found(Folders(places.pool, (other.pool,), places.out))
    pack_results([both], tmp_path / "kept")
    pack_results([both], tmp_path / "kept")


def test_runs_of_other_data_never_replace_those_in_place(places, tmp_path):
    other = Folders(tmp_path / "other", (), places.out)
    sums = {**bundled_sums(), next(iter(bundled_sums())): "0" * 64}
    keep(other.pool / "bntt-0", small("seed=0"), sums=sums)
    pack_results([found(places)], tmp_path / "kept")
    archive = tmp_path / "kept" / "s0.tar.xz"
    files = dict(read_archive(archive)) | evidence_of(other.pool / "bntt-0", "elsewhere")
    pack(archive, {name: content for name, content in files.items() if not name.startswith("bntt-0/")})
    with pytest.raises(RecipeError, match="holds another run of start 0 of bntt of s0, which"):
        pack_results([found(places)], tmp_path / "kept")


def test_a_file_of_another_study_is_not_replaced(places, tmp_path):
    keep(places.pool / "bntt-7", small("seed=7"))
    settings = {"small": {**study()["settings"]["small"], "seeds": [0, 1, 7]}}
    pack_results([found(places, settings=settings)], tmp_path / "there.tar.xz")
    with pytest.raises(RecipeError, match="holds bntt-7, of no start of these studies, which this result has not"):
        pack_results([found(places)], tmp_path / "there.tar.xz")


@pytest.mark.parametrize("target", ["kept", "there.tar.xz"])
def test_nothing_never_replaces_something(places, tmp_path, monkeypatch, target):
    """Under another number of the numerics no run of the archive counts."""
    pack_results([found(places)], tmp_path / target)
    monkeypatch.setattr(pool, "NUMERICS", pool.NUMERICS + 1)
    with pytest.raises(RecipeError, match="holds bntt-0, which this result has not"):
        pack_results([found(places)], tmp_path / target)


def test_two_copies_of_a_run_in_an_archive_are_one(places, tmp_path):
    pack_results([found(places)], tmp_path / "kept")
    archive = tmp_path / "kept" / "s0.tar.xz"
    pack(archive, dict(read_archive(archive)) | evidence_of(places.pool / "bntt-0", "copy"))
    pack_results([found(places)], tmp_path / "kept")
    assert not any(name.startswith("copy/") for name, _ in read_archive(archive))


def test_a_failed_measurement_loses_no_other_run_of_the_start(places, tmp_path):
    keep(tmp_path / "other" / "run", small("seed=0", "compute.precision=bf16-grad"))
    here = Folders(places.pool, (tmp_path / "other",), places.out)
    planned = plan([parse_study(study(), "s0")], "small", here)
    pack_results(results_of(planned, here, []), tmp_path / "kept")
    failed = [Outcome(item, code=4, why="no memory", seconds=1.0, trained=False) for item in planned.items]
    (result,) = results_of(planned, here, failed)
    assert [one.state for one in result.found.values()] == ["failed", "failed", "done", "done"], "without activity"
    pack_results([result], tmp_path / "kept")
    assert "run/recipe.toml" in dict(read_archive(tmp_path / "kept" / "s0.tar.xz"))


def test_one_setting_never_replaces_the_other(places, tmp_path):
    pack_results([found(places)], tmp_path / "kept")
    summary = tmp_path / "kept" / "s0.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"setting": "paper"}))
    with pytest.raises(RecipeError, match=r"s0\.json there is of the paper setting, and this is of the small one"):
        pack_results([found(places)], tmp_path / "kept")


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
