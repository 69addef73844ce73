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


def test_a_precision_is_refused_where_it_would_be_emulated(monkeypatch):
    backend.require_precision("fp32")
    with pytest.raises(backend.BackendError, match=r"unknown precision 'half': choose one of fp32, bf16-grad, bf16"):
        backend.require_precision("half")
    for has, detail in ((True, "precision fp32, bf16-grad, bf16"), (False, "no bfloat16 arithmetic here")):
        monkeypatch.setattr(backend, "has_bf16", lambda has=has: has)
        found = next(one for one in backend.backends() if one.name == "cpu")
        assert not found.available or detail in found.detail
    with pytest.raises(backend.BackendError, match=r"'bf16-grad' cannot be had here: .*use 'fp32'"):
        backend.require_precision("bf16-grad")
