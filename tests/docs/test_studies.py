"""docs/studies.md: its study is one, it names everything that a study can, and what was kept is of the kept runs."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

from bntt.analysis.measurements import MEASUREMENTS
from bntt.studies import work_items
from bntt.studies.measures import EVALUATE, KINDS
from bntt.studies.metrics import named_metrics
from bntt.studies.pictures import FIGURES
from bntt.studies.run_studies import Places, plan, results_of
from bntt.studies.start_plan import plan_study
from bntt.studies.study_file import load_study, parse_study
from bntt.studies.study_result import as_json
from bntt.studies.verdicts import RULES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def test_the_study_of_the_page_is_one():
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        runs = plan_study(parse_study(tomllib.loads(block), "mine"), "small")
        assert sum(len(run.starts) for run in runs) == 6, "as the page says"


def test_every_name_is_on_the_page():
    for names in (named_metrics(), FIGURES, RULES):
        assert [name for name in names if f"`{name}`" not in PAGE] == []
    told = re.search(r"Those of a place \(`at`\): (.*?)\. ", " ".join(PAGE.split()))[1]
    assert set(re.findall(r"`(.*?)`", told)) == {name for name, one in named_metrics().items() if one.metric.placed}


def test_every_measure_is_on_the_page_with_its_arguments():
    table = dict(re.findall(r"^\| `([a-z]+)` \| (.*?) \|", PAGE.partition("| measure |")[2].partition("\n\n")[0], re.M))
    arguments = {}
    for kind in (*MEASUREMENTS, *KINDS):
        one = MEASUREMENTS[KINDS[kind].measurement if kind in KINDS else kind]
        arguments[kind] = {field.name for field in fields(one.arguments)}
    del arguments[EVALUATE]
    assert {kind: set(re.findall(r"`(\w+)", words)) for kind, words in table.items()} == arguments


RESULTS = sorted((ROOT / "docs" / "studies").glob("*-small/result.json"))


def test_kept_results_are_those_of_the_kept_runs(tmp_path, monkeypatch):
    """Every kept study once more, from the kept runs; images of one's own count as those that the runs are of.

    Regenerate them as docs/studies.md says.
    """
    studies = [load_study(path.parent.name.removesuffix("-small")) for path in RESULTS]
    own = {"train": "166276e21054242845110bd8a4cd7415d735614c751a13565051227cc585da7f"}
    own |= {"test": "1c1fd8489eb956854525710fab984733050d35ca98518ce7f7a6189ec1306b2a"}
    monkeypatch.setenv("BNTT_DATA", str(tmp_path))
    there = work_items.sums_of
    monkeypatch.setattr(work_items, "sums_of", lambda recipe: own if recipe.data.name == "images" else there(recipe))
    places = Places(tmp_path / "pool", (ROOT / "docs" / "results",))
    found = results_of(plan(studies, "small", places), places, [])
    recomputed = {result.study.name: json.loads(json.dumps(as_json(result))) for result in found}
    assert len(recomputed) == len(RESULTS) > 20
    for path in RESULTS:
        kept, now = json.loads(path.read_text(encoding="utf-8")), recomputed[path.parent.name.removesuffix("-small")]
        assert now["table"] == kept["table"], path
        assert now["claims"] == kept["claims"], path
        then, runs = ([one for run in result["runs"] for one in starts(run)] for result in (kept, now))
        assert runs == then, path
        assert "/" not in {str(start["directory"])[:1] for run in kept["runs"] for start in run["starts"]}, "relative"


def starts(run):
    """Each as it is wherever its files lie."""
    return [{**start, "directory": Path(start["directory"]).name} for start in run["starts"]]
