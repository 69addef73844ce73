"""docs/studies.md: its study is one, and it names everything that a study can."""

import re
import tomllib
from pathlib import Path

from bntt.experiments.study.measures import MEASURES
from bntt.experiments.study.metrics import METRICS
from bntt.experiments.study.pictures import FIGURES
from bntt.experiments.study.plan import plan_study
from bntt.experiments.study.study import parse_study
from bntt.experiments.study.verdicts import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")


def test_the_study_of_the_page_is_one():
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        runs = plan_study(parse_study(tomllib.loads(block), "mine"), "small")
        assert sum(len(run.starts) for run in runs) == 6, "as the page says"


def test_every_name_is_on_the_page():
    for names in (MEASURES, METRICS, FIGURES, RULES):
        assert [name for name in names if f"`{name}`" not in PAGE] == []
