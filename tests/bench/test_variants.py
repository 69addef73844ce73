"""Names of rivals, and which of them are here."""

from bntt.bench import variants


def test_peers_are_listed_only_where_they_are_installed(monkeypatch):
    monkeypatch.setattr(variants, "find_spec", lambda name: None)
    assert variants.installed_peers() == []
    monkeypatch.setattr(variants, "find_spec", lambda name: object() if name == "spikingjelly" else None)
    assert variants.installed_peers() == ["spikingjelly", "spikingjelly unbind"]
    assert set(variants.SLEEPING) <= set(variants.OURS) <= set(variants.VARIANTS)
