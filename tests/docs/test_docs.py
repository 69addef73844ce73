"""What the documents say is so: examples run, PAPER.md resolves, links lead somewhere."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest
import torch
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import bntt

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(bntt.__path__, "bntt.") if not m.name.endswith(("__main__", "_cpu.kernels"))
)


@pytest.fixture(autouse=True)
def own_generator():
    """Examples may draw from torch's global generator, as users do."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples(module):
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(page)
    for example in document.examples():
        example.evaluate()


def resolve(symbol: str) -> object:
    """Import as far as modules go, then attributes."""
    parts = symbol.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(symbol)


def test_every_symbol_of_paper_md_exists():
    text = (ROOT / "PAPER.md").read_text(encoding="utf-8")
    symbols = re.findall(r"`(bntt\.[\w.]+)`", text)
    assert len(symbols) > 20
    for symbol in symbols:
        assert resolve(symbol) is not None


def test_paper_md_has_every_equation_table_and_figure_with_a_status():
    first_table = (ROOT / "PAPER.md").read_text(encoding="utf-8").split("## ")[0]
    rows = [line.split("|")[1:-1] for line in first_table.splitlines()]
    table = {row[0].strip(): row for row in rows if len(row) == 4}
    text = " ".join(table)
    for number in range(1, 17):
        assert any(number in numbers_of(name) for name in table if name.startswith("Eq.")), f"Eq. {number}"
    for what in [*(f"Supp. {c}" for c in "ABCDE"), *(f"Table {n}" for n in range(1, 6)), "Algorithm 1", "Algorithm 2"]:
        assert what in text
    for number in (1, 3, 4, 5, 6, 7, 8):
        assert any(number in numbers_of(name) for name in table if name.startswith("Fig.")), f"Fig. {number}"
    for name, row in table.items():
        assert row[3].strip() in {"done", "not yet", "status", "---"}, name
        if row[3].strip() == "done":
            assert row[2].strip(), name


def numbers_of(name: str) -> set[int]:
    """``Eq. 12-15`` → 12, 13, 14, 15; ``Fig. 4, 6`` → 4, 6."""
    found = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", name):
        found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("name", ["results", "performance"])
def test_pages_of_numbers_are_made_from_what_was_measured(name):
    """Regenerate them with ``python docs/make_results.py`` and ``python docs/make_performance.py``."""
    spec = importlib.util.spec_from_file_location(f"make_{name}", ROOT / "docs" / f"make_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") == module.page()
