"""What the documents say is so: examples run, PAPER.md resolves, links lead somewhere."""

import doctest
import importlib
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import bntt
from bntt import data
from bntt.data import Splits
from tests.trained import copied_demo

ROOT = Path(__file__).parents[2]
SITE = sorted(page for page in ROOT.glob("docs/**/*.md") if page.parent.name != "pages")
PAGES = sorted([*ROOT.glob("*.md"), *SITE, *ROOT.glob("quality/*.md")])
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(bntt.__path__, "bntt.") if not m.name.endswith(("__main__", "cpu.kernels"))
)
PEERS = {"bntt.interop.spikingjelly", "bntt.interop.lightning", "bntt.interop.hub"}
"""They import a peer, which need not be here."""
ROOMS = sorted({module.split(".")[1] for module in MODULES})
VERBS = ROOT / "docs" / "start" / "first-minute.md"
CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


@pytest.fixture(autouse=True)
def own_generator():
    """Examples may draw from torch's global generator, as users do."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("room", ROOMS)
def test_docstring_examples(room):
    """A failure is printed with its file and line."""
    modules = [name for name in MODULES if name.split(".")[1] == room and name not in PEERS]
    found = {
        name: doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
        for name in modules
    }
    assert not [name for name, result in found.items() if result.failed]


def run_blocks(page, folder, monkeypatch):
    """The Python blocks of a page, one after another, beside a folder runs/demo; a failure names its line."""
    (folder / "runs").mkdir()
    copied_demo(folder / "runs")
    monkeypatch.chdir(folder)
    for example in Sybil(parsers=[PythonCodeBlockParser()]).parse(page).examples():
        example.evaluate()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in CODE if page.name != "README.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_python_blocks(page, tmp_path, monkeypatch):
    run_blocks(page, tmp_path, monkeypatch)


def test_the_readme_on_a_third_of_the_images(tmp_path, monkeypatch):
    part = Splits(*(images.select(torch.arange(len(images) // 3)) for images in data.fashion_mnist_bundled()))
    monkeypatch.setattr(data, "fashion_mnist_bundled", lambda: part)
    run_blocks(ROOT / "README.md", tmp_path, monkeypatch)


@pytest.mark.slow
def test_the_demo_learns_and_all_verbs_run_as_they_are_pasted(tmp_path, monkeypatch):
    """At least 80 % on the 1,000 test images; what the README shows, but for its digits; the commands of the first
    minute, then the README's others."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    verbs = [*commands(VERBS.read_text(encoding="utf-8"))[1:], *commands(text)[1:]]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "data"))
    run = tmp_path / "runs" / "demo"
    printed = {without_digits(line) for line in pasted("bntt demo").splitlines()}
    for line in text.split("and prints\n\n```\n")[1].split("```")[0].splitlines():
        assert line == "..." or without_digits(line) in printed, line
    assert json.loads((run / "evaluation.json").read_text())["accuracy"] >= 0.80
    assert {path.name for path in run.iterdir() if "tfevents" not in path.name} == {
        *("recipe.toml", "environment.json", "metrics.jsonl", "curves.png", "lock", "checkpoints"),
        *("evaluation.json", "evaluation.png"),
    }
    for line in dict.fromkeys(line.split("  #")[0].rstrip() for line in verbs):
        pasted(line)


def commands(text: str) -> list[str]:
    """The lines of all blocks of commands."""
    return [line for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]


def pasted(line: str) -> str:
    """What a line of the README prints."""
    program, *words = shlex.split(line, comments=True)
    assert program == "bntt"
    done = subprocess.run([sys.executable, "-m", "bntt", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout


def without_digits(line: str) -> str:
    """The shape of a line: other processors round differently, have other instructions, and another epoch may be the
    best."""
    if line.startswith("fused C++ kernels, float32, using "):
        return "fused C++ kernels"
    return re.sub(r"\s+", " ", re.sub(r"[\d.,:]+", "0", line)).removesuffix(" best").strip()


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
        resolve(symbol)


def test_paper_md_has_every_equation_table_and_figure_with_a_status():
    first_table = (ROOT / "PAPER.md").read_text(encoding="utf-8").split("## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in first_table.splitlines()]
    table = {row[0]: row for row in rows if len(row) == 6}
    told = {
        kind: set().union(*(numbers_of(name) for name in table if name.startswith(kind))) for kind in ("Eq.", "Fig.")
    }
    assert told["Eq."] >= {*range(1, 17)}
    assert told["Fig."] >= {1, 3, 4, 5, 6, 7, 8}
    for what in [*(f"Supp. {c}" for c in "ABCDE"), *(f"Table {n}" for n in range(1, 6)), "Algorithm 1", "Algorithm 2"]:
        assert what in " ".join(table)
    for name, (_, _, symbols, state, small, paper) in table.items():
        assert state in {"done", "not yet", "implemented", "---"}, name
        if state == "done":
            assert symbols, name
            check_what_was_run(name, small, paper)


def check_what_was_run(name: str, small: str, paper: str) -> None:
    """What is said to have been run has starts that were, at that setting, in results/."""
    for said, setting in ((small, "small"), (paper, "paper")):
        studies = re.findall(r"`(.*?)`", said)
        assert said in {"–", "no"} or studies, f"{name}: a dash, no, or the studies that were run"
        for study in studies:
            found = json.loads((ROOT / "results" / f"{study}.json").read_text(encoding="utf-8"))
            states = [start["state"] for run in found["runs"] for start in run["starts"]]
            assert (found["setting"], "done" in states) == (setting, True), f"{name}: {study}"


def numbers_of(name: str) -> set[int]:
    """``Eq. 12-15`` → 12, 13, 14, 15; ``Fig. 4, 6`` → 4, 6."""
    found = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", name):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_links_lead_somewhere():
    prose = {page: re.sub(r"`[^`\n]*`", "", page.read_text("utf-8")) for page in PAGES}
    links = [(page, target) for page, text in prose.items() for target in re.findall(r"\]\(([^)#]+)\)", text)]
    assert not [
        (page.name, target)
        for page, target in links
        if not target.startswith("https:") and not (page.parent / target).exists()
    ]


def test_pages_of_numbers_are_what_their_makers_make(monkeypatch):
    """Make them again with ``python docs/make.py``."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    from make import PAGES

    stale = [
        name
        for name, file in PAGES.items()
        if (ROOT / file).read_text(encoding="utf-8") != importlib.import_module(f"pages.{name}").page()
    ]
    assert not stale


def test_every_row_of_a_table_has_the_cells_of_its_head():
    """A bar within a cell is escaped."""
    wrong = []
    for page in (page for page in PAGES if page.suffix == ".md"):
        for block in re.findall(r"(?:^\|.*\|$\n?)+", page.read_text("utf-8"), re.M):
            rows = [len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()]
            wrong += [(page.name, row) for count, row in zip(rows, block.splitlines(), strict=True) if count != rows[0]]
    assert not wrong


def test_forty_claims_at_most_are_shown(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    assert 30 <= sum(map(len, importlib.import_module("pages.claims").SHOWN.values())) <= 40


def test_documents_are_small_and_every_picture_is_shown():
    files = [path for path in (ROOT / "docs").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 5_000_000
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [path.name for path in files if path.parent.name == "pictures" and path.name not in text] == []
