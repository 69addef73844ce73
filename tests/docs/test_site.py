"""The site: every public name and every recipe key is on one page, every page is in a table of contents."""

import re
from collections import Counter
from pathlib import Path

from bntt.analysis.measurements import MEASUREMENTS
from bntt.cli import main as cli
from bntt.runs.directory import FILES
from bntt.runs.recipe.file import keys_of
from tests.trained import demo_run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.parent.name not in ("pages", "develop"))


def lines_of(block, pages=PAGES):
    """The lines of all blocks of a kind."""
    found = [re.findall(rf"^```{{{block}}}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S) for page in pages]
    return [line for bodies in found for body in bodies for line in body.splitlines() if line and line[0] != ":"]


def test_every_public_name_is_on_exactly_one_page(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    from extension.names import chosen, public_names

    shown = Counter(name.path for line in lines_of("names") for name in chosen([line]))
    assert {path for path in public_names() if path not in shown} == set()
    assert {path: count for path, count in shown.items() if count > 1} == {}
    assert {f"bntt.{name}" for name in ("fit", "BNTT", "nn.fold", "analysis.evaluate", "deploy.export")} <= shown.keys()


def test_every_recipe_key_is_on_exactly_one_page():
    tables = Counter(lines_of("keys"))
    assert tables == Counter({name.rpartition(".")[0] or "." for name in keys_of()})


def test_every_verb_is_on_a_page():
    assert {line.removeprefix("group ") for line in lines_of("commands")} == cli.GROUPS.keys()


def test_every_page_is_in_one_table_of_contents():
    listed = Counter(
        (page.parent / line).with_suffix(".md").resolve().relative_to(DOCS).as_posix()
        for page in PAGES
        for line in lines_of("toctree", [page])
    )
    pages = {page.relative_to(DOCS).as_posix() for page in PAGES} - {"index.md"}
    assert listed == Counter(pages)


def test_every_file_of_a_run_is_told_of():
    """Names of files, or patterns of them; what measurements write begins with their names."""
    told = [name for names in FILES for name in names.split(", ")]
    told += [f"{one.file or one.name}*" for one in MEASUREMENTS.values()]
    files = [path.relative_to(demo_run().path) for path in demo_run().path.rglob("*") if path.is_file()]
    assert [str(file) for file in files if not any(file.match(pattern) for pattern in told)] == []
