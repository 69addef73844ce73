"""What is packed: no place of this machine, and never less than what was there."""

import json
import tomllib
from pathlib import Path

import pytest

from bntt.io.archive import read_archive
from bntt.io.checkpoint import CheckpointError
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.evidence import Evidence, _own_places, pack_results, portable, strip_local_paths
from bntt.studies.plan import Folders, plan
from bntt.studies.pool import ann_place, kept_run
from bntt.studies.study_file import parse_study
from bntt.studies.study_result import results_of, summary_of
from tests.rows import each_row
from tests.studies.kept import keep, small, study


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
    pack_results([found(places)], tmp_path / "kept")
    files = dict(read_archive(tmp_path / "kept" / "s0.tar.xz"))
    assert b'root = ".../cifar10"' in files["bntt-0/recipe.toml"]
    for content in (*files.values(), (tmp_path / "kept" / "s0.json").read_bytes()):
        assert str(tmp_path).encode() not in content
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


def packed(place):
    return {name.split("/")[0] for name, _ in read_archive(place / "s0.tar.xz")}


def test_less_never_replaces_more_and_what_is_read_too_is_kept(places, tmp_path):
    kept, other = tmp_path / "kept", Folders(tmp_path / "other", (), places.out)
    activity(places.pool / "bntt-1")
    pack_results([found(places)], kept)
    before = (kept / "s0.tar.xz").read_bytes()
    for seed in (0, 1):
        keep(other.pool / f"bntt-{seed}", small(f"seed={seed}"), accuracy=0.3, processor="Q")
        keep(other.pool / f"none-{seed}", small("network.norm=none", f"seed={seed}"), accuracy=0.3, processor="Q")

    def refused(places, lost):
        with pytest.raises(RecipeError, match=f"holds {lost}"):
            pack_results([found(places)], kept)
        assert (kept / "s0.tar.xz").read_bytes() == before

    refused(other, "bntt-0/environment.json and 16 more")  # other runs of the same names
    refused(Folders(tmp_path / "empty", (), places.out), "bntt-0/environment.json")
    (measured := places.pool / "bntt-1" / "measures" / "activity-1.json").rename(tmp_path / "away")
    refused(places, "bntt-1/measures/activity-1.json,")
    (tmp_path / "away").rename(measured)
    (places.pool / "none-1" / "evaluation.json").unlink()
    refused(places, "none-1/environment.json")
    pack_results([found(Folders(places.pool, (kept,), places.out))], kept)
    assert packed(kept) == {"bntt-0", "bntt-1", "none-0", "none-1"}


def test_runs_of_another_machine_are_in_table_and_claims_with_device_and_commit(places, tmp_path):
    """What it packed is a folder of results here; of one start in both the pool's run counts."""
    there = Folders(tmp_path / "there", (), places.out)
    for seed in (0, 1, 2):
        keep(there.pool / f"bntt-{seed}", small(f"seed={seed}"), accuracy=0.9, processor="Q", commit="def")
    three = {"small": {**study()["settings"]["small"], "seeds": [0, 1, 2]}}
    pack_results([found(there, settings=three)], tmp_path / "kept")
    values = summary_of(found(Folders(places.pool, (tmp_path / "kept",), places.out), settings=three))
    bntt, none = values["table"]["rows"]
    assert (bntt["cells"]["acc"]["values"], none["cells"]["acc"]["values"]) == ([80.0, 80.0, 90.0], [80.0, 80.0])
    assert bntt["made_on"] == ["P at abc, float32: 2 runs", "Q at def, float32: 1 run"]
    assert values["claims"][0]["starts"] == 2


def test_a_damaged_archive_is_not_replaced(places, tmp_path):
    pack_results([found(places)], tmp_path / "kept")
    (tmp_path / "kept" / "s0.tar.xz").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"s0\.tar\.xz"):
        pack_results([found(places)], tmp_path / "kept")


@each_row(
    ("text", "kept"),
    [
        ("/data/of/mine/cifar10", ".../cifar10"),
        ("/data/with a space/cifar 10/", ".../cifar 10"),
        ("/data", ".../data"),
        (r"C:\Users\me\cifar10", ".../cifar10"),
        ("C:/Users/me/cifar10", ".../cifar10"),
        ("images=/home/me/cifar10", "images=.../cifar10"),
        ('{"root": "/pool", "with": ["/a b/my.py"]}', '{"root": ".../pool", "with": [".../my.py"]}'),
        ("--data images=/home/me/x --pool /tmp/p", "--data images=.../x --pool .../p"),
        ("runs/pool", "runs/pool"),
        (".../cifar10", ".../cifar10"),
        ("https://host/of/data", "https://host/of/data"),
        ("file:///home/me", ".../me"),
        ("see file:///home/me/x, there", "see .../x, there"),
        ("images=/Users/John Doe/cifar", "images=.../cifar"),
        ("images=/a b/c d", "images=.../c d"),
        ("--data=/Users/John Doe/cifar", "--data=.../cifar"),
        (r"x=C:\Users\John Doe\x", r"x=.../x"),
        (r"\\server\share\me\x", ".../x"),
        (r"x=\\server\share\me", "x=.../me"),
        ("cc -I/home/me/x -O2", "cc -I.../x -O2"),
        ("-I/home/me/x", "-I.../x"),
        ("/255 of a pixel", "/255 of a pixel"),
        ("A:/B test", "A:/B test"),
        ("x=https://h/a", "x=https://h/a"),
        ("8/255 or and/or", "8/255 or and/or"),
        ("a / b", "a / b"),
        ("", ""),
    ],
)
def test_of_an_absolute_path_the_name_is_kept(text, kept):
    assert strip_local_paths(text) == kept
    assert strip_local_paths(kept) == kept, "once is enough"
    assert strip_local_paths({"a": [text, 1, None], text: 1}) == {"a": [kept, 1, None], kept: 1}


def test_the_folders_of_this_process_are_kept_nowhere():
    _own_places.cache_clear()  # other tests work in other folders
    for place in (Path.home(), Path.cwd()):
        if len(place.parts) > 1:
            assert str(place) not in strip_local_paths(f"at:{place}, h:{place}/x, {place}")


def test_files_are_changed_where_they_must_be_and_nowhere_else():
    recipe = b'seed = 3\n\n[data]\nroot = "/home/me/cifar10"\nname = "images"\n'
    assert tomllib.loads(portable("recipe.toml", recipe).decode()) == {
        "seed": 3,
        "data": {"root": ".../cifar10", "name": "images"},
    }
    values = {"accuracy": 0.1 + 0.2, "of": {"source": "/home/me/x"}, "none": float("nan")}
    kept = portable("environment.json", json.dumps(values).encode())
    assert json.loads(kept)["accuracy"] == 0.1 + 0.2
    assert b"/home" not in kept
    rows = b'{"epoch": 0}\n{"epoch": 1, "place": "/home/me/x"}\n'
    assert portable("metrics.jsonl", rows) == b'{"epoch": 0}\n{"epoch": 1, "place": ".../x"}\n'
    for name, content in (
        ("recipe.toml", b"seed=3   # as it was\n"),
        ("a.json", b'{"a":   1.50}'),
        ("m.jsonl", b"{}\n\n"),
    ):
        assert portable(name, content) == content


def test_a_file_that_cannot_be_read_names_no_place_either():
    assert portable("metrics.jsonl", b'{"epoch": 0, "place": "/home/me/x"}\n{"epo') == (
        b'{"epoch": 0, "place": ".../x"}\n{"epo'
    )
    assert portable("a.json", b'\xff "/home/me/x"') == b'\xff ".../x"'
