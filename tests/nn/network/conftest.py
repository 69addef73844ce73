"""What tests of a network's calls share."""

import pytest

from bntt.nn.network import advance as kept


@pytest.fixture
def used(monkeypatch) -> list[int]:
    """One entry for every call that went through a kept chain."""
    found, real = [], kept._advance

    def advance(*args, **kwargs):
        found.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(kept, "_advance", advance)
    return found
