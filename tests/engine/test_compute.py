"""One choice, checked where it is made."""

import pytest
import torch

from bntt.engine import kernels as backend
from bntt.engine.compute import Compute
from bntt.engine.cpu import library
from bntt.engine.layer_spec import surrogate_constants
from bntt.ops.lif import Neuron
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle
from tests.rows import each_row


@each_row(
    "named, choice",
    [
        ("events", {"events": "mesured"}),
        ("backend", {"backend": "refrence"}),
        ("precision", {"precision": "half"}),
        ("recompute", {"backend": "reference", "recompute": 5}),
        ("precision", {"backend": "reference", "precision": "bf16"}),
        *(("recompute", {"recompute": wrong}) for wrong in (0, -1, "sometimes", 2.5, True)),
        ("reduce", {"reduce": 3}),
    ],
)
def test_a_misspelt_or_impossible_choice_is_refused_where_it_is_made(named, choice):
    with pytest.raises(ValueError, match=f"^{named}"):
        Compute(**choice)


def test_what_insists_on_kernels():
    insisting = [Compute("cpu"), Compute("triton"), Compute(precision="bf16-grad")]
    assert all(choice.insists for choice in insisting)
    assert not any(choice.insists for choice in (Compute(), Compute("reference"), Compute(recompute=3)))
    assert [Compute(name).kernels for name in ("auto", "cpu", "triton")] == ["cpu", "cpu", "triton"]


def test_what_connects_processes_is_no_part_of_what_is_chosen():
    connected = Compute("cpu", reduce=torch.clone)
    assert connected == Compute("cpu")
    assert repr(connected) == repr(Compute("cpu"))


def test_a_missing_backend_is_an_error_with_a_reason(monkeypatch):
    assert [one.name for one in backend.backends()] == ["reference", "cpu", "triton"]
    monkeypatch.setattr(library, "LIBRARY", None)
    monkeypatch.setattr(library, "REASON", "no compiler")
    backend.require(Compute("auto"))
    backend.require(Compute("reference"), "cuda")
    with pytest.raises(backend.BackendError, match=r"'cpu' .*no compiler"):
        backend.require(Compute("cpu"))


@each_row(
    "installed, gpu, interpreted, available, detail",
    [
        (True, False, True, True, "interpreter"),
        (True, False, False, False, "never run on a GPU"),
        (True, True, False, True, "a GPU; checked in Triton's interpreter, never run on a GPU"),
        (False, True, True, False, "not installed"),
    ],
)
def test_triton_says_where_it_was_proven(installed, gpu, interpreted, available, detail, monkeypatch):
    monkeypatch.setattr(backend, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setenv("TRITON_INTERPRET", str(int(interpreted)))
    found = backend.backends()[2]
    assert found.available == available
    assert detail in found.detail


@each_row("device, where", [("cpu", "processor"), ("cuda", "GPU")])
def test_a_precision_is_refused_where_it_would_be_emulated(device, where, monkeypatch):
    for has in (True, False):
        monkeypatch.setattr(backend, "has_bf16", lambda has=has: has)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        backend.require(Compute(), device)
        if has:
            backend.require(Compute(precision="bf16"), device)
    with pytest.raises(backend.BackendError, match=f"'bf16-grad' .*{where}"):
        backend.require(Compute(precision="bf16-grad"), torch.device(device))


def test_the_constants_are_those_of_the_surrogate():
    """As the kernels compute it, from their number and two constants."""
    kernels = (
        lambda v, first, second: first * (1 - v.abs()).clamp(min=0),
        lambda v, first, second: first / (1 + second * v.abs()).square(),
        lambda v, first, second: first / (1 + (second * v).square()),
    )
    v = torch.linspace(-2, 2, 101, dtype=torch.float64)
    for surrogate in (Triangle(0.4), FastSigmoid(3.0, 0.7), ArcTan(1.5)):
        kind, first, second = surrogate_constants(Neuron(surrogate=surrogate))
        assert torch.allclose(kernels[kind](v, first, second), surrogate(v), atol=1e-12)
