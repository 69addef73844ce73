"""Who trains: how each is started, goes on from what it kept, and what it kept, read in its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STEPS = 4
READ = """
import hashlib, json, sys, torch
path = sys.argv[1]
if path.endswith(".safetensors"):
    from safetensors.torch import load_file
    found = {k: v for k, v in load_file(path).items() if k.startswith("model.")}
else:
    whole = torch.load(path, map_location="cpu", weights_only=False)
    found = whole.get("net") or whole["state_dict"]
values = [v for v in found.values() if torch.is_tensor(v) and v.is_floating_point()]
digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in values)).hexdigest()
print(json.dumps([max(float(v.abs().max()) for v in values), digest]))
"""


@dataclass(frozen=True)
class Contender:
    """One training program."""

    name: str
    what: str
    python: Path
    words: Callable[[Path, Path, int, float, Path | None], list[str]]
    """Of data, folder, epochs, rate, and the checkpoint to go on from."""
    kept: str
    """A pattern of its checkpoints."""

    def latest(self, out: Path) -> Path:
        """What it would go on from; a place where nothing is if it kept nothing."""
        return max(out.glob(self.kept), default=out / "nothing.safetensors")

    def start(
        self, data: Path, out: Path, epochs: int = 3, lr: float = 1e-3, *, resume: bool = False
    ) -> subprocess.Popen[str]:
        """Begin, or go on; all that it says in one stream."""
        out.mkdir(parents=True, exist_ok=True)
        words = self.words(data, out, epochs, lr, self.latest(out) if resume else None)
        return subprocess.Popen(
            [str(self.python), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=out,
            env={**os.environ, "OMP_NUM_THREADS": "1", "BNTT_DATA": str(out.parent / "prepared")},
        )

    def weights(self, path: Path) -> tuple[float, str] | None:
        """The largest of a checkpoint and a digest of all; None if it cannot be read."""
        command = [str(self.python), "-c", READ, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return tuple(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None


def bntt(data: Path, out: Path, epochs: int, lr: float, latest: Path | None) -> list[str]:
    if latest is not None:
        return ["-m", "bntt", "train", "--resume", str(out / "run")]
    settings = f"data.name=mnist data.root={data / 'MNIST' / 'raw'} network.width=0.125 network.num_steps={STEPS} "
    settings += f"train.epochs={epochs} train.lr={lr} evaluate.draws=1"
    flags = [word for setting in settings.split() for word in ("-s", setting)]
    return ["-m", "bntt", "train", "demo", *flags, "--name", "run", "--root", str(out)]


def spikingjelly(data: Path, out: Path, epochs: int, lr: float, latest: Path | None) -> list[str]:
    words = f"-m spikingjelly.activation_based.examples.lif_fc_mnist -device cpu -b 64 -j 0 -T {STEPS} -out-dir ."
    words = [*words.split(), "-epochs", str(epochs), "-lr", str(lr), "-data-dir", str(data)]
    return words if latest is None else [*words, "-resume", str(latest)]


def lightning(data: Path, out: Path, epochs: int, lr: float, latest: Path | None) -> list[str]:
    words = [str(Path(__file__).with_name("lightning_train.py")), str(data), str(out), str(epochs), str(lr)]
    return words if latest is None else [*words, str(latest)]


def contenders(peers: Path) -> list[Contender]:
    """All of them; the others from an environment of their own."""
    what = "2.6.6, Trainer with a network of snnTorch 1.0.0"
    return [
        Contender("bntt", "`bntt train`", Path(sys.executable), bntt, "run/checkpoints/step-*.safetensors"),
        Contender("SpikingJelly", "2.0.0, its example `lif_fc_mnist`", peers, spikingjelly, "T*/checkpoint_latest.pth"),
        Contender("Lightning", what, peers, lightning, "last.ckpt"),
    ]
