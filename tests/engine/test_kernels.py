"""What may run here, and the error when it may not."""

import pytest
import torch

from bntt.engine import kernels as backend
from bntt.engine.compute import Compute
from bntt.engine.cpu import library


def test_reference_always_runs_and_comes_first():
    found = backend.backends()
    assert [one.name for one in found] == ["reference", "cpu", "triton"]
    assert found[0].available


def test_a_missing_backend_is_an_error_with_a_reason(monkeypatch):
    monkeypatch.setattr(library, "LIBRARY", None)
    monkeypatch.setattr(library, "REASON", "no compiler")
    backend.require(Compute("auto"))
    with pytest.raises(backend.BackendError, match="'cpu' cannot run here: no compiler"):
        backend.require(Compute("cpu"))


def test_triton_says_where_it_was_proven(monkeypatch):
    def found() -> backend.Backend:
        return backend.backends()[2]

    monkeypatch.setattr(backend, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert found().available
    assert "interpreter" in found().detail
    monkeypatch.delenv("TRITON_INTERPRET")
    assert not found().available
    assert "never run on a GPU" in found().detail
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert found().available
    assert "a GPU; checked in Triton's interpreter, never run on a GPU by its authors" in found().detail
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    assert found() == backend.Backend("triton", False, "the package triton is not installed")


def test_a_precision_is_refused_where_it_would_be_emulated(monkeypatch):
    backend.require(Compute())
    for has, detail in ((True, "precision fp32, bf16-grad, bf16"), (False, "no bfloat16 arithmetic here")):
        monkeypatch.setattr(backend, "has_bf16", lambda has=has: has)
        found = next(one for one in backend.backends() if one.name == "cpu")
        assert not found.available or detail in found.detail
    with pytest.raises(backend.BackendError, match=r"'bf16-grad' is not available here: .*use 'fp32'"):
        backend.require(Compute(precision="bf16-grad"))
    for has in (True, False):  # a GPU's precision is the GPU's own
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        if has:
            backend.require(Compute(precision="bf16"), "cuda")
    with pytest.raises(backend.BackendError, match="this GPU has no bfloat16"):
        backend.require(Compute(precision="bf16"), torch.device("cuda"))


def test_the_other_instruction_sets_are_those_not_in_use(monkeypatch):
    monkeypatch.setattr(library, "LIBRARY", object())
    monkeypatch.setattr(library, "variants", lambda: ["portable", "avx2", "avx512"])
    monkeypatch.setattr(library, "use_variant", lambda: "avx2")
    assert "using avx2 (also: portable, avx512)" in backend.backends()[1].detail
