"""docs/how-to/studies.md: its study is one, and it names everything that a study can."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

from bntt.analysis.measurements import MEASUREMENTS
from bntt.studies.measures import EVALUATE, KINDS, measure_from, named_metrics
from bntt.studies.plan import plan_study
from bntt.studies.study_file import FigureKind, Study, parse_study
from bntt.studies.study_result import CHARTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "studies.md").read_text(encoding="utf-8")


def test_the_study_of_the_page_is_one():
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        runs = plan_study(parse_study(tomllib.loads(block), "mine"), "small")
        assert sum(len(run.starts) for run in runs) == 6, "as the page says"


def test_every_name_is_on_the_page():
    tables = Study.model_json_schema()["properties"]
    rules = tables["claims"]["items"]["discriminator"]["mapping"]
    assert {"better", "bounds"} < rules.keys()
    assert set(get_args(FigureKind)) == CHARTS.keys()
    for names in (named_metrics(), CHARTS, rules):
        assert [name for name in names if f"`{name}`" not in PAGE] == []
    told = re.search(r"Those of a place \(`at`\): (.*?)\. ", " ".join(PAGE.split()))[1]
    assert set(re.findall(r"`(.*?)`", told)) == {name for name, (_, one) in named_metrics().items() if one.placed}


def test_every_measure_is_on_the_page_with_its_arguments():
    table = dict(re.findall(r"^\| `([a-z]+)` \| (.*?) \|", PAGE.partition("| measure |")[2].partition("\n\n")[0], re.M))
    arguments = {}
    for kind in (*MEASUREMENTS, *KINDS):
        one = MEASUREMENTS[EVALUATE if kind == "retiming" else kind]
        arguments[kind] = {field.name for field in fields(one.arguments)}
    del arguments[EVALUATE]
    arguments["retiming"].remove("exit")  # which studies refuse
    assert {kind: set(re.findall(r"`(\w+)", words)) for kind, words in table.items()} == arguments


def test_defaults_beside_arguments_are_those_of_studies():
    table = dict(re.findall(r"^\| `([a-z]+)` \| (.*?) \|", PAGE.partition("| measure |")[2].partition("\n\n")[0], re.M))
    told = [(kind, *one) for kind, words in table.items() for one in re.findall(r"`(\w+)` \(([\d., ]+)\)", words)]
    assert len(told) >= 7
    for kind, name, value in told:
        usual = getattr(measure_from(kind, {}).arguments, name)
        expected = list(usual) if isinstance(usual, tuple) else [usual]
        assert [float(one) for one in value.split(", ")] == expected, (kind, name)
