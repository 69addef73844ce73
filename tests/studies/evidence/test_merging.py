"""Runs of another machine, made in another folder: unpacked into the pool as they are, or refused with the reason."""

import io
import json
import tarfile

import pytest

from bntt.io.archive import pack_alone, read_alone, unpack_alone
from bntt.io.checkpoint import CheckpointError
from bntt.runs.environment import NUMERICS
from bntt.studies.evidence import merge, pack_results
from bntt.studies.plan import Folders, plan
from bntt.studies.pool import directory_name, identity
from bntt.studies.study_file import parse_study
from bntt.studies.study_result import results_of, summary_of
from tests.rows import each_row
from tests.studies.kept import bundled_sums, keep, small, study


def kept(pool, *overrides, **changed):
    """A run in the directory of its content."""
    recipe = small(*overrides)
    return keep(pool / directory_name("demo", identity(recipe), bundled_sums()), recipe, **changed)


def activity(place, spikes=1):
    (place / "measures").mkdir()
    values = {"split": "test", "n": spikes, "seconds": spikes}
    told = {"kind": "activity", "arguments": {}, "of": {}, "values": values}
    (place / "measures" / "activity-1.json").write_text(json.dumps(told))


def evidence(folder, **changed):
    """Both starts of BNTT and one of no norm, made on another machine, as one file."""
    made = {"processor": "Q", "commit": "def"} | changed
    for seed in (0, 1):
        activity(kept(folder / "pool", f"seed={seed}", accuracy=0.9, **made))
    kept(folder / "pool", "network.norm=none", **made)
    (path,) = pack_results([result(Folders(folder / "pool", (), folder / "out"))], folder / "there.tar.xz")
    return path


def result(places):
    places.pool.mkdir(exist_ok=True, parents=True)
    (found,) = results_of(plan([parse_study(study(), "s0")], "small", places), places, [])
    return found


NAME = directory_name("demo", identity(small()), bundled_sums())
"""Of the first start of BNTT."""


@pytest.fixture
def here(tmp_path):
    places = Folders(tmp_path / "here" / "pool", (), tmp_path / "here" / "out")
    places.pool.mkdir(parents=True)
    return places


def test_runs_of_another_machine_are_in_table_claims_and_evidence_with_device_and_commit(tmp_path, here):
    archive = evidence(tmp_path / "there")
    kept(here.pool, "network.norm=none", "seed=1", accuracy=0.7)
    lines = merge(archive, here.pool)
    assert len(lines) == 3
    assert f"merged: {here.pool / NAME}, Q at def" in lines
    found = result(here)
    bntt, none = summary_of(found)["table"]["rows"]
    assert (bntt["cells"]["acc"]["values"], bntt["made_on"]) == ([90.0, 90.0], ["Q at def, float32: 2 runs"])
    assert (none["cells"]["acc"]["values"], none["made_on"]) == (
        [80.0, 70.0],
        ["Q at def, float32: 1 run", "P at abc, float32: 1 run"],
    )
    assert "2 starts" in summary_of(found)["claims"][0]["because"]
    pack_results([found], tmp_path / "results")
    again = result(Folders(tmp_path / "empty", (tmp_path / "results",), here.out))
    assert summary_of(again)["table"] == summary_of(found)["table"], "packed, it stays without the archive"


def test_what_is_here_is_not_replaced(tmp_path, here):
    """Times and places of another machine contradict nothing: a file of weights holds the folder of the data."""
    archive, mine = evidence(tmp_path / "there"), kept(here.pool, accuracy=0.9)
    activity(mine)

    def of(told, seconds, sha256):
        own = {"whole_seconds": seconds, "models": [{"weights_sha256": sha256, "alike_seconds": seconds}]}
        return told | {"values": told["values"] | own}

    changed(archive, f"{NAME}/measures/activity-1.json", lambda told: of(told, 2.0, "9f"))
    file = mine / "measures" / "activity-1.json"
    file.write_text(before := json.dumps(of(json.loads(file.read_text()), 3.0, "7e")))
    assert sorted(line.partition(":")[0] for line in merge(archive, here.pool)) == ["already here", "merged", "merged"]
    assert file.read_text() == before
    assert all(line.startswith("already here: ") for line in merge(archive, here.pool)), "again it changes nothing"


def test_what_is_no_number_contradicts_no_copy_of_itself(tmp_path, here):
    archive = evidence(tmp_path / "there")
    for name in (f"{NAME}/evaluation.json", f"{NAME}/measures/activity-1.json"):
        changed(archive, name, lambda v: v | {"spikes_per_image": float("nan"), "values": {"n": float("nan")}})
    merge(archive, here.pool)
    assert len(merge(archive, here.pool)) == 3


def changed(archive, name, edit):
    """The archive with one file edited and every checksum made again: a well-formed one with another content."""
    files = read_alone(archive)
    files[name] = json.dumps(edit(json.loads(files[name]))).encode()
    pack_alone(archive, files)


@each_row(
    ("file", "edit", "why"),
    [
        ("environment.json", lambda v: v | {"data": {"sha256": {"train": "x"}}}, "does not end with the digest of its"),
        ("evaluation.json", lambda v: v | {"draws": 77}, "was measured with 77 draws"),
        ("evaluation.json", lambda v: v | {"split": "validation"}, "is no run that was measured on the test"),
        ("evaluation.json", lambda v: v | {"accuracy": 0.91}, r"evaluation\.json has other numbers than .*here/demo-"),
        ("measures/activity-1.json", lambda v: v | {"values": {"n": 2}}, r"activity-1\.json has other numbers than"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_taken(tmp_path, file, edit, why):
    archive = evidence(tmp_path / "there")
    activity(kept(tmp_path / "here", accuracy=0.9))
    changed(archive, f"{NAME}/{file}", edit)
    with pytest.raises(CheckpointError, match=why):
        merge(archive, tmp_path / "here")
    assert {place.name for place in (tmp_path / "here").rglob("demo-*")} == {NAME}


def test_runs_of_other_numerics_have_other_names(tmp_path, here, monkeypatch):
    archive = evidence(tmp_path / "there")
    monkeypatch.setattr("bntt.studies.pool.NUMERICS", NUMERICS + 1)
    with pytest.raises(CheckpointError, match="does not end with the digest of its recipe, its data and numerics"):
        merge(archive, here.pool)


def test_a_planted_change_of_one_number_is_noticed(tmp_path, here):
    """The file is whole, and one number in it is another than its checksums say."""
    archive = evidence(tmp_path / "there")
    with tarfile.open(archive) as opened:
        files = {one.name: opened.extractfile(one).read() for one in opened}
    files[f"{NAME}/evaluation.json"] = files[f"{NAME}/evaluation.json"].replace(b"0.9", b"0.8")
    with tarfile.open(archive, "w:xz") as written:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            written.addfile(member, io.BytesIO(content))
    with pytest.raises(
        CheckpointError, match=rf"1 of its files are not what its SHA256SUMS says, {NAME}/evaluation\.json"
    ):
        merge(archive, here.pool)


def test_a_file_that_is_no_such_archive_is_refused(tmp_path, here):
    pack_results([result(here)], tmp_path / "folder")
    with pytest.raises(CheckpointError, match="holds no SHA256SUMS: it was not made by bntt study --pack FILE"):
        merge(tmp_path / "folder" / "s0.tar.xz", here.pool)
    content = bytearray(evidence(tmp_path / "there").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "bad.tar.xz").write_bytes(content)
    with pytest.raises(CheckpointError, match="is no archive that can be read"):
        merge(tmp_path / "bad.tar.xz", here.pool)
    with pytest.raises(CheckpointError, match="does not exist"):
        merge(tmp_path / "none.tar.xz", here.pool)


def test_files_that_could_not_lie_beside_each_other_are_refused(tmp_path):
    pack_alone(tmp_path / "x.tar.xz", dict.fromkeys(("a", "a/b"), b"x"))
    with pytest.raises(CheckpointError, match=r"'a(/.*)?', .* cannot be unpacked"):
        unpack_alone(tmp_path / "x.tar.xz", tmp_path / "there")
