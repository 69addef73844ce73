"""Names of rivals, and which of them are here."""

import torch

from bntt.bench import variants
from bntt.engine import kernels as backend


def test_peers_are_listed_only_where_they_are_installed(monkeypatch):
    monkeypatch.setattr(variants, "find_spec", lambda name: None)
    assert variants.installed_peers() == []
    monkeypatch.setattr(variants, "find_spec", lambda name: object() if name == "spikingjelly" else None)
    assert variants.installed_peers() == ["spikingjelly", "spikingjelly unbind"]
    assert set(variants.USUAL) <= set(variants.OURS)
    assert set(variants.SLEEPING) <= set(variants.OURS) <= set(variants.VARIANTS)


def test_bf16_can_be_timed_only_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr(backend, "has_bf16", lambda: False)
    assert not [name for name in variants.available() if "bf16" in name]
    monkeypatch.setattr(backend, "has_bf16", lambda: True)
    assert set(variants.OURS) <= set(variants.available())
    assert set(variants.usual()) == {*variants.USUAL, *variants.installed_peers()}


def test_the_peers_stay_on_the_processor(monkeypatch):
    monkeypatch.setattr(variants, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert variants.available("cuda") == ["loop", "reference", "fused", "recompute", "dense limit"]
    assert variants.usual("cuda") == list(variants.USUAL)
