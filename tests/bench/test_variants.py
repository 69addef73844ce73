"""Names of rivals, and which of them are here."""

from bntt.bench import variants


def test_peers_are_listed_only_where_they_are_installed(monkeypatch):
    monkeypatch.setattr(variants, "find_spec", lambda name: None)
    assert variants.installed_peers() == []
    monkeypatch.setattr(variants, "find_spec", lambda name: object() if name == "spikingjelly" else None)
    assert variants.installed_peers() == ["spikingjelly", "spikingjelly unbind"]
    assert set(variants.USUAL) <= set(variants.OURS)
    assert set(variants.SLEEPING) <= set(variants.OURS) <= set(variants.VARIANTS)


def test_bf16_can_be_timed_only_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr(variants, "has_bf16", lambda: False)
    assert not [name for name in variants.available() if "bf16" in name]
    monkeypatch.setattr(variants, "has_bf16", lambda: True)
    assert set(variants.OURS) <= set(variants.available())
