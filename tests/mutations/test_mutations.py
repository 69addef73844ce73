"""The list of mutations still fits the source. That each is caught is what ``python -m tests.mutations`` shows."""

from __future__ import annotations

import pytest

from tests.mutations import workbench
from tests.mutations.workbench import MUTATIONS, ROOT, Mutation


def test_the_list_still_fits_the_source():
    """Every old text occurs once; all that do not fit are named at once."""
    wrong = [fault for mutation in MUTATIONS if (fault := misfit(mutation))]
    assert not wrong, "\n".join(wrong)
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def misfit(mutation: Mutation) -> str | None:
    """What keeps a mutation from being tried, if anything does."""
    try:
        mutation.place(ROOT)
    except ValueError as error:
        return str(error)
    missing = [test for test in mutation.tests if not (ROOT / test).exists()]
    if missing or not mutation.tests or mutation.new == mutation.old:
        return f"{mutation.name}: changes nothing, or its tests are gone: {missing}"
    return None


def test_text_that_does_not_occur_is_refused(tmp_path):
    (tmp_path / "src" / "bntt").mkdir(parents=True)
    (tmp_path / "src" / "bntt" / "one.py").write_text("a = 1\nb = 1\n")
    for old in ("c = 1", " = 1"):
        with pytest.raises(ValueError, match="must occur once"):
            Mutation("wrong", "*.py", old, "", ()).apply(tmp_path)
    assert Mutation("right", "*.py", "a = 1", "a = 2", ()).apply(tmp_path).read_text() == "a = 2\nb = 1\n"


@pytest.mark.slow
def test_the_first_failure_is_named(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): assert 0\n")
    assert workbench.first_failure(tmp_path, ("test_it.py",)) == "test_it.py::test_b"
    assert workbench.first_failure(tmp_path, ("test_it.py::test_a",)) is None
    (tmp_path / "test_crash.py").write_text("import os\ndef test_a(): os.abort()\n")
    assert workbench.first_failure(tmp_path, ("test_crash.py",)) == "a crash in test_crash.py::test_a"
    with pytest.raises(RuntimeError, match="pytest ended with"):
        workbench.first_failure(tmp_path, ("test_it.py::test_d",))


def test_the_copy_of_the_project_has_every_source(tmp_path):
    """Every room of it, the one called ``runs`` too."""
    workbench.copy_project(ROOT, tmp_path)
    sources = {path.relative_to(ROOT) for path in (ROOT / "src" / "bntt").rglob("*.py")}
    assert {path.relative_to(tmp_path) for path in (tmp_path / "src").rglob("*.py")} >= sources
