"""What may run here, and the error when it may not."""

import pytest

from bntt.ops import backend
from bntt.ops._cpu import library


def test_reference_always_runs_and_comes_first():
    found = backend.backends()
    assert [one.name for one in found] == ["reference", "cpu"]
    assert found[0].available


def test_an_unknown_or_missing_backend_is_an_error_with_a_reason(monkeypatch):
    with pytest.raises(backend.BackendError, match="choose one of auto, reference, cpu"):
        backend.require("gpu")
    monkeypatch.setattr(library, "LIBRARY", None)
    monkeypatch.setattr(library, "REASON", "no compiler")
    backend.require("auto")
    with pytest.raises(backend.BackendError, match="'cpu' cannot run here: no compiler"):
        backend.require("cpu")
