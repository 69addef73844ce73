"""Two hosts, as two network namespaces with a cable between them, each with a folder of its own."""

import json
import os
import subprocess
import sys

import pytest

from tests.cli.test_shared_training import SMALL
from tests.training.launched import ALONE, ROOT


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


@pytest.fixture
def hosts():
    """The names of two namespaces that know each other as 10.77.0.1 and 10.77.0.2, by their interface ``cable``."""
    names = [f"bntt-{os.getpid()}-{number}" for number in (1, 2)]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for number, name in enumerate(names, start=1):
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces can be made here: {getattr(error, 'stderr', '') or error}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.mark.slow
def test_two_hosts_train_one_network_and_the_first_keeps_it(hosts, tmp_path):
    begun = []
    for number, host in enumerate(hosts):
        folder = tmp_path / host
        folder.mkdir()
        where = ["--nnodes", "2", "--node-rank", str(number), "--master-addr", "10.77.0.1", "--master-port", "29517"]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", *where]
        begun.append(
            subprocess.Popen(
                ["ip", "netns", "exec", host, *torchrun, "-m", "bntt", "train", "demo", *SMALL],
                env={"PYTHONPATH": str(ROOT / "src"), **os.environ, **ALONE, "GLOO_SOCKET_IFNAME": "cable"},
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    (out, err), (second, _) = (one.communicate(timeout=900) for one in begun)
    assert [one.returncode for one in begun] == [0, 0], err
    assert "by 2 processes" in " ".join(out.split())
    assert second == ""
    first, other = (tmp_path / host for host in hosts)
    assert list(other.iterdir()) == []
    result = json.loads((first / "runs" / "demo" / "evaluation.json").read_text())
    assert (result["images"], result["updates"]) == (41, 9)
