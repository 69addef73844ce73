"""Terms are used one way; numbers of pages that no maker makes are those of the code and of the benchmarks."""

import re
from pathlib import Path

from bntt.runs.identity import RESUMING
from bntt.runs.recipe import file as recipe_file
from bntt.studies import study_file

ROOT = Path(__file__).parents[2]
SITE = [page for page in (ROOT / "docs").rglob("*.md") if page.parent.name not in ("develop", "pages")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHER_WORDS = {
    r"time-?steps?|ticks?": "step",
    r"iterations?|(?:training|gradient|optimi[sz]er) steps?": "update",
    r"mini-?batch(?:es)?": "batch",
    r"(?:spike|spiking) (?:rate|frequenc)\w*": "firing rate",
    r"SOPs?|SynOps?": "synaptic operation",
    r"hyper-?parameters?": "key",
    r"(?:held|moving) statistics": "running statistics",
}


def words_of(page: Path) -> str:
    return " ".join(page.read_text(encoding="utf-8").split())


def prose(text: str) -> str:
    """A page without code, quotations, headings (names of cases are some) and the targets of links."""
    text = re.sub(r"^(```|~~~).*?^\1|^[#>].*?$", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|\"[^\"\n]*\"|“[^”]*”", "", text)


def found(text: str) -> list[str]:
    return [
        f"{hit[0]}: {term}" for words, term in OTHER_WORDS.items() for hit in re.finditer(rf"\b(?:{words})\b", text)
    ]


def test_terms_are_used_one_way():
    assert found(prose('Ten timesteps; a training step. `timestep` "a tick"\n## time-steps\n')) == [
        "timesteps: step",
        "training step: update",
    ]
    said = {str(page): found(prose(page.read_text(encoding="utf-8"))) for page in PAGES if page.name != "glossary.md"}
    assert {page: words for page, words in said.items() if words} == {}


def test_the_site_and_its_front_page_stay_small():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 100
    assert len(readme.split()) <= 700
    assert len(SITE) <= 60
    assert sum(len(page.read_text(encoding="utf-8").split()) for page in SITE) <= 35_000


def test_times_of_saving_bounds_and_free_keys_are_those_of_the_code():
    resume = words_of(ROOT / "docs" / "how-to" / "resume.md")
    told = {key: float(value) for key, value in re.findall(r"\| `(checkpoint\.\w+)` \| (\d+) \|", resume)}
    keys = recipe_file.keys_of().items()
    assert told == {key: option.written(option.default) for key, option in keys if key.startswith("checkpoint.")}
    said = resume.partition(" may change, and `train.epochs` may grow")[0].rpartition("## ")[2]
    assert {"train.epochs", *re.findall(r"`([a-z.]+)`", said)} == {*RESUMING}
    limits = f"a recipe at most {recipe_file.LARGEST >> 20} MiB, a study {study_file.LARGEST >> 10} KiB"
    assert limits in words_of(ROOT / "docs" / "reference" / "files.md")


def test_the_speeds_of_the_front_page_are_those_of_the_benchmarks():
    readme, page = (words_of(file) for file in (ROOT / "README.md", ROOT / "docs" / "evidence" / "performance.md"))
    speeds = re.findall(r"[\d.]+ times as fast as \w+", readme)
    assert len(speeds) == 2
    assert [speed for speed in speeds if speed not in page] == []
