"""Evidence of another machine, made in another folder: taken in with device and commit, or refused with the reason."""

import io
import json
import tarfile

import pytest

from bntt.io.archive import pack_alone, read_alone, unpacked_alone
from bntt.io.checkpoint import CheckpointError
from bntt.runs.environment import NUMERICS
from bntt.studies import work_items
from bntt.studies.evidence.merging import take_in
from bntt.studies.evidence.packing import pack_results
from bntt.studies.run_studies import Folders, plan, results_of
from bntt.studies.study_file import parse_study
from bntt.studies.study_result import summary_of
from tests.rows import each_row
from tests.studies.kept import keep, small, study


def activity(place, spikes=1):
    (place / "measures").mkdir()
    kept = {"kind": "activity", "arguments": {}, "of": {}, "values": {"split": "test", "n": spikes, "seconds": spikes}}
    (place / "measures" / "activity-1.json").write_text(json.dumps(kept))


def evidence(folder, **changed):
    """Both starts of BNTT and one of no norm, made on another machine, as one file."""
    pool = folder / "pool"
    for seed in (0, 1):
        activity(
            keep(pool / f"bntt-{seed}", small(f"seed={seed}"), accuracy=0.9, processor="Q", commit="def", **changed)
        )
    keep(pool / "none-0", small("network.norm=none"), processor="Q", commit="def", **changed)
    _, (result,) = planned(Folders(pool, (), folder / "out"))
    (path,) = pack_results([result], folder / "there.tar.xz")
    return path


def planned(places, *, seeds=(0, 1)):
    places.pool.mkdir(exist_ok=True, parents=True)
    settings = {"small": {**study()["settings"]["small"], "seeds": list(seeds)}}
    found = plan([parse_study(study(settings=settings), "s0")], "small", places)
    return found, results_of(found, places, [])


def merged(archive, places, **options):
    found, _ = planned(places, **options)
    folder, lines = take_in(archive, found.items, places.folders)
    more = Folders(places.pool, (*places.results, folder), places.out)
    return results_of(found, more, [])[0], lines


@pytest.fixture
def here(tmp_path):
    return Folders(tmp_path / "here" / "pool", (), tmp_path / "here" / "out")


def test_runs_of_another_machine_are_in_table_claims_and_evidence_with_device_and_commit(tmp_path, here):
    archive = evidence(tmp_path / "there")
    keep(here.pool / "none-1", small("network.norm=none", "seed=1"), accuracy=0.7)
    result, lines = merged(archive, here)
    assert lines == [
        "taken in: s0: bntt, seed 0, Q at def",
        "taken in: s0: bntt, seed 1, Q at def",
        "taken in: s0: none, seed 0, Q at def",
    ]
    bntt, none = summary_of(result)["table"]["rows"]
    assert (bntt["cells"]["acc"]["values"], bntt["made_on"]) == ([90.0, 90.0], ["Q at def, float32: 2 runs"])
    assert (none["cells"]["acc"]["values"], none["made_on"]) == (
        [80.0, 70.0],
        ["Q at def, float32: 1 run", "P at abc, float32: 1 run"],
    )
    assert "2 starts" in summary_of(result)["claims"][0]["because"]
    assert not list(here.pool.glob("bntt*")), "the pool is what was made here"
    pack_results([result], tmp_path / "results")
    again = Folders(tmp_path / "empty", (tmp_path / "results",), here.out)
    (kept,) = planned(again)[1]
    assert summary_of(kept)["table"] == summary_of(result)["table"], "packed, it stays without the archive"


def test_what_both_have_is_counted_once(tmp_path, here):
    archive = evidence(tmp_path / "there")
    activity(keep(here.pool / "mine", small("seed=0"), accuracy=0.9))
    result, _ = merged(archive, here)
    assert summary_of(result)["table"]["rows"][0]["cells"]["acc"]["n"] == 2


def test_times_and_places_of_another_machine_contradict_nothing(tmp_path, here):
    """A file of weights holds its recipe, with the folder of the data: its checksum is of a place."""
    archive = evidence(tmp_path / "there")
    activity(keep(here.pool / "mine", small("seed=0"), accuracy=0.9))
    file = here.pool / "mine" / "measures" / "activity-1.json"

    def of(kept, seconds, sha256):
        own = {"whole_seconds": seconds, "models": [{"weights_sha256": sha256, "alike_seconds": seconds}]}
        return kept | {"values": kept["values"] | own}

    changed(archive, "bntt-0/measures/activity-1.json", lambda kept: of(kept, 2.0, "9f"))
    file.write_text(json.dumps(of(json.loads(file.read_text()), 3.0, "7e")))
    assert merged(archive, here)[1][0].startswith("taken in")


def test_what_is_no_number_contradicts_no_copy_of_itself(tmp_path, here):
    archive = evidence(tmp_path / "there")
    for name in ("bntt-0/evaluation.json", "bntt-0/measures/activity-1.json"):
        changed(archive, name, lambda v: v | {"spikes_per_image": float("nan"), "values": {"n": float("nan")}})
    folder = unpacked_alone(archive)
    merged(archive, Folders(here.pool, (folder,), here.out))


def test_what_is_of_no_start_is_left_out_and_said(tmp_path, here):
    _, lines = merged(evidence(tmp_path / "there"), here, seeds=(0,))
    assert [line.partition(":")[0] for line in lines] == ["taken in", "left out", "taken in"]
    with pytest.raises(CheckpointError, match="none of its 3 runs is a start of these studies: name the studies"):
        merged(evidence(tmp_path / "other"), here, seeds=(7,))


def changed(archive, name, edit):
    """The archive with one file edited and every checksum made again: a well-formed one with another content."""
    files = read_alone(archive)
    files[name] = json.dumps(edit(json.loads(files[name]))).encode()
    pack_alone(archive, files)


@each_row(
    ("name", "edit", "why"),
    [
        ("bntt-0/environment.json", lambda v: v | {"numerics": NUMERICS + 1}, "was made under numerics"),
        ("bntt-0/environment.json", lambda v: v | {"data": {"sha256": {"train": "x"}}}, "was made with other data"),
        ("bntt-0/evaluation.json", lambda v: v | {"draws": 77}, "was measured with 77 draws"),
        (
            "bntt-0/evaluation.json",
            lambda v: v | {"split": "validation"},
            "bntt-0 is no run that was measured on the test",
        ),
        ("bntt-0/evaluation.json", lambda v: v | {"accuracy": 0.91}, "has another accuracy than the same start in"),
        (
            "bntt-0/measures/activity-1.json",
            lambda v: v | {"values": {"n": 2}},
            "has another activity than the same start",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, name, edit, why):
    here = Folders(tmp_path / "here", (), tmp_path / "out")
    archive = evidence(tmp_path / "there")
    activity(keep(here.pool / "mine", small("seed=0"), accuracy=0.9))
    merged(archive, here)
    changed(archive, name, edit)
    with pytest.raises(CheckpointError, match=why):
        merged(archive, here)


def test_other_data_of_the_same_name_is_refused_where_the_data_is_not_here(tmp_path, here, monkeypatch):
    archive = evidence(tmp_path / "there")
    keep(here.pool / "none-1", small("network.norm=none", "seed=1"), sums={"train": "another"})
    monkeypatch.setattr(work_items, "data_checksums", lambda recipe: None)
    with pytest.raises(
        CheckpointError, match=r"with other data than .*none-1, and both are called fashion-mnist-bundled"
    ):
        merged(archive, here)


def test_one_start_twice_in_an_archive_with_other_numbers_is_refused(tmp_path, here):
    archive = evidence(tmp_path / "there")
    files = read_alone(archive)
    files |= {name.replace("bntt-0", "bntt-9"): content for name, content in files.items() if "bntt-0/" in name}
    pack_alone(archive, files)
    merged(archive, here)
    changed(archive, "bntt-9/evaluation.json", lambda v: v | {"accuracy": 0.91})
    with pytest.raises(CheckpointError, match=r"bntt-9 .* has another accuracy than the same start"):
        merged(archive, here)


def test_a_planted_change_of_one_number_is_noticed(tmp_path, here):
    """The file is whole, and one number in it is another than its checksums say."""
    archive = evidence(tmp_path / "there")
    with tarfile.open(archive) as opened:
        files = {one.name: opened.extractfile(one).read() for one in opened}
    files["bntt-0/evaluation.json"] = files["bntt-0/evaluation.json"].replace(b"0.9", b"0.8")
    with tarfile.open(archive, "w:xz") as written:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            written.addfile(member, io.BytesIO(content))
    with pytest.raises(
        CheckpointError, match=r"1 of its files are not what its SHA256SUMS says, bntt-0/evaluation\.json"
    ):
        merged(archive, here)


def test_a_file_that_is_no_such_archive_is_refused(tmp_path, here):
    pack_results([planned(here)[1][0]], tmp_path / "folder")
    with pytest.raises(CheckpointError, match="holds no SHA256SUMS: it was not made by bntt study --pack FILE"):
        merged(tmp_path / "folder" / "s0.tar.xz", here)
    content = bytearray(evidence(tmp_path / "there").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "bad.tar.xz").write_bytes(content)
    with pytest.raises(CheckpointError, match="is no archive that can be read"):
        merged(tmp_path / "bad.tar.xz", here)
    with pytest.raises(CheckpointError, match="does not exist"):
        merged(tmp_path / "none.tar.xz", here)


def test_files_that_could_not_lie_beside_each_other_are_refused(tmp_path):
    pack_alone(tmp_path / "x.tar.xz", dict.fromkeys(("a", "a/b"), b"x"))
    with pytest.raises(CheckpointError, match="a as a file and as a folder"):
        unpacked_alone(tmp_path / "x.tar.xz")
