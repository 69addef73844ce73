"""The kept results: every study, read once more from its archives, has the tables and claims of its summary."""

import json
import shutil
from pathlib import Path

import pytest

from bntt.io.archive import SUMS
from bntt.io.checkpoint import CheckpointError
from bntt.studies.evidence import pack_results
from bntt.studies.plan import Folders, plan
from bntt.studies.study_file import load_study, study_names
from bntt.studies.study_result import results_of, summary_of

KEPT = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def recomputed(tmp_path_factory):
    """Every kept study once more, from the archives alone: no data is here."""
    nowhere = tmp_path_factory.mktemp("nowhere")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BNTT_DATA", str(nowhere))
        places = Folders(nowhere / "pool", (KEPT,))
        return results_of(plan([load_study(name) for name in study_names()], "small", places), places, [])


@pytest.mark.slow
def test_every_study_is_read_again_from_its_archive(recomputed):
    """``bntt study all --small --only-kept --results results --pack results`` makes them anew."""
    assert {f"{result.study.name}.json" for result in recomputed} == {path.name for path in KEPT.glob("*.json")}
    for result in recomputed:
        kept = json.loads((KEPT / f"{result.study.name}.json").read_text(encoding="utf-8"))
        now = json.loads(json.dumps(summary_of(result)))
        for part in ("table", "claims", "runs"):
            assert now[part] == kept[part], (result.study.name, part)
        places = {str(one["directory"]) for run in kept["runs"] for one in run["starts"]}
        assert all(place.startswith("results/") or place == "None" for place in places), "relative"


@pytest.mark.slow
def test_a_study_is_packed_into_the_archive_that_it_was_read_from(recomputed, tmp_path):
    (beta,) = (result for result in recomputed if result.study.name == "beta")
    summary, archive = pack_results([beta], tmp_path)
    assert archive.read_bytes() == (KEPT / "beta.tar.xz").read_bytes()
    assert json.loads(summary.read_text("utf-8")) == json.loads((KEPT / "beta.json").read_text("utf-8"))


def test_a_damaged_archive_stops_a_study_in_a_sentence(tmp_path):
    for name in ("beta.tar.xz", SUMS):
        shutil.copy(KEPT / name, tmp_path)
    content = bytearray((tmp_path / "beta.tar.xz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "beta.tar.xz").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"beta\.tar\.xz is damaged or was replaced: its SHA-256"):
        plan([load_study("beta")], "small", Folders(tmp_path / "pool", (tmp_path,)))
