"""Make the pages of numbers and their pictures, from the evidence in results/ and quality/.

    python docs/make.py                          # every page; those that differ are written
    python docs/make.py --check                  # writes nothing; exit code 1 if a page is not what its maker makes
    python docs/make.py findings claims          # these alone
    python docs/make.py --measure parity         # measures it first, in a few minutes
    python docs/make.py --weights RUN NAME       # the files of a trained network that comes with the package

docs/report.html is made when it is named, by make docs.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
PAGES = {
    "claims": "docs/evidence/claims.md",
    "findings": "docs/evidence/findings.md",
    "zoo": "docs/reference/zoo.md",
    "performance": "docs/evidence/performance.md",
    "peers": "quality/peers.md",
    "parity": "quality/parity.md",
    "ten_minutes": "examples/bntt_in_ten_minutes.ipynb",
    "early_exit": "examples/early_exit.ipynb",
}
"""Where each page is."""
NAMED = {"report": "docs/report.html"}
"""What is not kept in the repository."""
PICTURES = ROOT / "docs" / "pictures"


def is_made(name: str) -> bool:
    """Say whether a page is what its maker makes, and its pictures are there."""
    maker, file = importlib.import_module(f"pages.{name}"), ROOT / (PAGES | NAMED)[name]
    there = all((PICTURES / picture).is_file() for picture, _ in getattr(maker, "pictures", list)())
    return there and file.is_file() and file.read_text(encoding="utf-8") == maker.page()


def make(name: str) -> None:
    """Write a page and its pictures."""
    from bntt.charts.files import save_figure

    maker, file = importlib.import_module(f"pages.{name}"), ROOT / (PAGES | NAMED)[name]
    for picture, figure in getattr(maker, "pictures", list)():
        save_figure(figure, PICTURES / picture)
    file.write_text(maker.page(), encoding="utf-8")
    sys.stdout.write(f"wrote {file.relative_to(ROOT)}\n")


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join([*PAGES, *NAMED])}")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--weights", nargs=2, metavar=("RUN", "NAME"))
    asked = parser.parse_args()
    if unknown := sorted({*asked.pages} - {*PAGES, *NAMED}):
        parser.error(f"no page {unknown[0]!r}: there are {', '.join([*PAGES, *NAMED])}")
    if asked.measure and asked.pages != ["parity"]:
        parser.error("--measure is for parity: the other pages take kept runs and reports as evidence")
    if asked.weights:
        from pages.weights import make as make_weights

        made = make_weights(Path(asked.weights[0]), asked.weights[1])
        sys.stdout.write(f"{made.test['accuracy']:.2%} test, {made.bundled_test}\n")
        return 0
    wrong = 0
    for name in asked.pages or PAGES:
        if asked.measure:
            importlib.import_module(f"pages.{name}").measure()
        if not asked.check:
            make(name)
        elif not is_made(name):
            wrong += 1
            sys.stderr.write(f"{(PAGES | NAMED)[name]} is not what its maker makes: python docs/make.py {name}\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
