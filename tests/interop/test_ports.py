"""The worked ports of docs/tutorials/coming-from.md, as they stand; each asserts that both networks say the same."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "coming-from.md").read_text(encoding="utf-8")
SECTIONS = [part.split("\n", 1) for part in PAGE.split("\n## From ")[1:]]
PORTS = {peer: text.split("```py\n")[1].split("```")[0] for peer, text in SECTIONS if "```py\n" in text}
PINNED = {"SpikingJelly": "2.0.0", "snnTorch": "1.0.0", "Norse": "1.1.0"}


def test_there_is_a_port_from_each_peer_at_the_version_that_the_page_names():
    assert PORTS.keys() == PINNED.keys()
    assert all("assert torch.allclose(ours(x), expected" in port for port in PORTS.values())
    assert all(f"{peer} {pinned}" in " ".join(PAGE.split()) for peer, pinned in PINNED.items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", PINNED)
def test_port(peer):
    try:
        found = version(peer.lower())
    except PackageNotFoundError:
        found = "none"
    if found != PINNED[peer]:
        pytest.skip(f"{peer} {PINNED[peer]} is not here ({found}): make test-peers")
    with torch.random.fork_rng():
        exec(compile(PORTS[peer], f"coming-from.md, {peer}", "exec"), {})
