"""docs/report.html: every kept study as one page."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from bntt.studies.report import html_of, subjects_of
from bntt.studies.study_result import write_results
from pages.claims import recomputed


def page() -> str:
    """Make the whole of report.html."""
    with TemporaryDirectory() as folder:
        written = write_results(recomputed(), Path(folder))
        return html_of(subjects_of([path.parent for path in written]))
