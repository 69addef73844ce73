"""Terms are used one way, as the glossary defines them; speeds of the front page are those of the benchmarks."""

import re
from pathlib import Path

from bntt.runs.identity import RESUMING
from bntt.runs.recipe import file as recipe_file
from bntt.studies import study_file

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OWN = {"style.md", "glossary.md"}
"""They name the words that are not used."""
OTHER_WORDS = {
    r"time-?steps?|ticks?": "step",
    r"iterations?|(?:training|gradient|optimi[sz]er) steps?": "update",
    r"mini-?batch(?:es)?": "batch",
    r"(?:spike|spiking) (?:rate|frequenc)\w*": "firing rate",
    r"SOPs?|SynOps?": "synaptic operation",
    r"hyper-?parameters?": "key",
    r"(?:held|moving) statistics": "running statistics",
}


def prose(text: str) -> str:
    """A page without code, quotations, headings (names of cases are some) and the targets of links."""
    text = re.sub(r"^(```|~~~).*?^\1|^[#>].*?$", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|\"[^\"\n]*\"|“[^”]*”", "", text)


def found(text: str) -> list[str]:
    return [
        f"{hit[0]}: {term}" for words, term in OTHER_WORDS.items() for hit in re.finditer(rf"\b(?:{words})\b", text)
    ]


def test_terms_are_used_one_way():
    said = {str(page): found(prose(page.read_text(encoding="utf-8"))) for page in PAGES if page.name not in OWN}
    assert len(said) > 80
    assert {page: words for page, words in said.items() if words} == {}


def test_every_term_is_in_the_glossary():
    glossary = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    terms = {term for line in re.findall(r"^([^\n:#]+)\n: ", glossary, re.M) for term in line.split(", ")}
    assert {*OTHER_WORDS.values()} - terms == {"key"}
    assert {"sample", "epoch", "start", "seed", "step", "update", "spike count", "firing rate"} <= terms
    style = (ROOT / "docs" / "develop" / "style.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| [^|]+ \| [^|]+ \|$", style, re.M)) - 1 == 30, "pairs, below their heads"


def test_times_of_saving_are_those_of_the_code():
    resume = " ".join((ROOT / "docs" / "how-to" / "resume.md").read_text("utf-8").split())
    told = {key: float(value) for key, value in re.findall(r"\| `(checkpoint\.\w+)` \| (\d+) \|", resume)}
    keys = recipe_file.keys_of().items()
    assert told == {key: option.written(option.default) for key, option in keys if key.startswith("checkpoint.")}


def test_bounds_and_free_keys_are_those_of_the_code():
    recipe, study = recipe_file.LARGEST >> 20, study_file.LARGEST >> 10
    formats = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    assert f"a recipe at most {recipe} MiB, a study {study} KiB" in formats
    for page in ("how-to/resume", "tutorials/command-line"):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        said = text.partition(" may change, and `train.epochs` may grow")[0].rpartition("\n\n")[2]
        assert {"train.epochs", *re.findall(r"`([a-z.]+)`", said)} == {*RESUMING}, page


def test_the_speeds_of_the_front_page_are_those_of_the_benchmarks():
    files = (ROOT / "README.md", ROOT / "docs" / "evidence" / "performance.md")
    readme, page = (" ".join(file.read_text(encoding="utf-8").split()) for file in files)
    said = readme.partition("**Fast.**")[2].partition(" ## ")[0]
    speeds = re.findall(r"[\d.]+ times as fast as \w+", said)
    assert len(speeds) == 2
    assert [speed for speed in speeds if speed not in page] == []
    ours, jelly, snn = re.search(r"in ([\d.]+) minutes, against ([\d.]+) and ([\d.]+) ", said).groups()
    assert f"bntt takes {ours} minutes, SpikingJelly's list of norms {jelly}, snnTorch {snn}," in page
