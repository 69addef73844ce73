"""docs/studies.md: its study is one, it names everything that a study can, and what was kept is of the kept runs."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from bntt.studies.measures import MEASURES
from bntt.studies.metrics import METRICS
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
    for names in (MEASURES, METRICS, FIGURES, RULES):
        assert [name for name in names if f"`{name}`" not in PAGE] == []


RESULTS = sorted((ROOT / "docs" / "studies").glob("*-small/result.json"))


@pytest.fixture(scope="module")
def recomputed(tmp_path_factory):
    """Every kept study once more, from the kept runs; images of one's own are not here, and so are no runs on them."""
    nowhere = tmp_path_factory.mktemp("nowhere")
    studies = [load_study(path.parent.name.removesuffix("-small")) for path in RESULTS]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BNTT_DATA", str(nowhere))
        places = Places(nowhere / "pool", (ROOT / "docs" / "results",))
        found = results_of(plan(studies, "small", places), places, [])
    return {result.study.name: result for result in found}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_kept_results_are_those_of_the_kept_runs(path, recomputed):
    """Regenerate them as docs/studies.md says."""
    kept, result = json.loads(path.read_text(encoding="utf-8")), recomputed[path.parent.name.removesuffix("-small")]
    now = json.loads(json.dumps(as_json(result)))
    of_own = {run.name for run in result.runs if any(start.recipe.data.name == "images" for start in run.starts)}
    told = [row for row in kept["table"]["rows"] if row["run"] not in of_own]
    assert [row for row in now["table"]["rows"] if row["run"] not in of_own] == told
    if not of_own:
        assert now["claims"] == kept["claims"]
    assert "/" not in {str(start["directory"])[:1] for run in kept["runs"] for start in run["starts"]}, "relative"
