"""Runs that tests share are trained once, and nobody writes into them."""

import pytest

from tests import trained


def test_a_run_is_trained_once_and_stays_as_it_is(tmp_path, monkeypatch):
    first = trained.trained_run()
    monkeypatch.setattr(trained, "train_run", None)  # it would be called
    assert trained.trained_run().path == first.path
    copy = trained.copied_run(tmp_path)
    (copy.path / "mine.json").write_text("{}")
    assert trained.opened_run().path == first.path
    assert not (first.path / "mine.json").exists()


def test_writing_into_a_shared_run_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("BNTT_SHARED_RUNS", str(tmp_path))
    monkeypatch.setattr(trained, "train_run", lambda recipe, data, run: iter([run.recipe.write_text("seed = 0")]))
    (trained.trained_run().path / "exit.json").write_text("{}")
    with pytest.raises(AssertionError, match="take a copy"):
        trained.trained_run()
