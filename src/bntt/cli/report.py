"""``bntt report``: runs and studies as one page."""

from __future__ import annotations

from pathlib import Path

import tyro


def report(paths: tyro.conf.Positional[tuple[Path, ...]] = (), out: Path = Path("report.html")) -> None:
    """Write one HTML page of runs and studies, from their results alone; it needs no network and no other file.

    Of one run: its training, and whatever was measured in it. Of one study: its table with the paper's values beside,
    figures, verdicts and runs. Of several, or of a folder that holds several: an index and a comparing table first. Of
    nothing that is named: all below runs and studies. What a file does not say is a gap of the page that says so.

    Example: bntt report runs/fashion-mnist --out fashion-mnist.html

    Args:
        paths: run directories, study directories, or folders of them.
        out: the file to write.
    """
    from bntt.charts.section import plural
    from bntt.cli import console
    from bntt.runs.recipe.file import RecipeError
    from bntt.studies.report.page import describe_counts, find_subjects, page_of, save_page

    if out.is_dir():
        raise RecipeError(f"--out {out} is a directory: name the file to write, such as {out / 'report.html'}")
    folders = find_subjects(paths)
    page = page_of(folders)
    save_page(page, out)
    gaps = sum(len(subject.gaps) + sum(len(one.gaps) for one in subject.sections) for subject in page.subjects)
    if gaps:
        console.line(f"{plural(gaps, 'gap')}: what files do not say is stated where it would stand")
    console.line(f"{describe_counts(page)}, {out.stat().st_size / 1024:,.0f} KiB")
    console.line(f"written: {out}")
