"""Who trains: how each is started, goes on from what it kept, and what it kept is read."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
STEPS = 4


@dataclass(frozen=True)
class Contender:
    """One training program."""

    name: str
    what: str
    python: Path

    def command(self, data: Path, out: Path, epochs: int, lr: float, resume: bool) -> list[str]:
        """What is run."""
        raise NotImplementedError

    def latest(self, out: Path) -> Path:
        """What it would go on from."""
        raise NotImplementedError

    def start(
        self, data: Path, out: Path, epochs: int = 3, lr: float = 1e-3, *, resume: bool = False
    ) -> subprocess.Popen[str]:
        """Begin, or go on; all that it says in one stream."""
        out.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [str(self.python), *self.command(data, out, epochs, lr, resume)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=out,
            env={**os.environ, "OMP_NUM_THREADS": "1", "BNTT_DATA": str(out.parent / "prepared")},
        )


class Bntt(Contender):
    """``bntt train``."""

    def command(self, data: Path, out: Path, epochs: int, lr: float, resume: bool) -> list[str]:
        if resume:
            return ["-m", "bntt", "train", "--resume", str(out / "run")]
        settings = [
            "data.name=mnist",
            f"data.root={data / 'MNIST' / 'raw'}",
            "network.width=0.125",
            f"network.num_steps={STEPS}",
            f"train.epochs={epochs}",
            f"train.lr={lr}",
            "evaluate.draws=1",
        ]
        flags = [word for setting in settings for word in ("-s", setting)]
        return ["-m", "bntt", "train", "demo", *flags, "--name", "run", "--root", str(out)]

    def latest(self, out: Path) -> Path:
        steps = sorted((out / "run" / "checkpoints").glob("step-*.safetensors"))
        return steps[-1] if steps else out / "run" / "checkpoints" / "step-0.safetensors"


class SpikingJelly(Contender):
    """Its own example, ``lif_fc_mnist``."""

    def command(self, data: Path, out: Path, epochs: int, lr: float, resume: bool) -> list[str]:
        words = ["-m", "spikingjelly.activation_based.examples.lif_fc_mnist", "-device", "cpu", "-b", "64", "-j", "0"]
        words += ["-T", str(STEPS), "-epochs", str(epochs), "-lr", str(lr), "-data-dir", str(data), "-out-dir", "."]
        return words + (["-resume", str(self.latest(out))] if resume else [])

    def latest(self, out: Path) -> Path:
        found = sorted(out.glob("T*/checkpoint_latest.pth"))
        return found[0] if found else out / "checkpoint_latest.pth"


class Lightning(Contender):
    """snnTorch's neurons under Lightning's Trainer."""

    def command(self, data: Path, out: Path, epochs: int, lr: float, resume: bool) -> list[str]:
        words = [str(HERE / "lightning_train.py"), str(data), str(out), str(epochs), str(lr)]
        return words + ([str(self.latest(out))] if resume else [])

    def latest(self, out: Path) -> Path:
        return out / "last.ckpt"


def contenders(peers: Path) -> list[Contender]:
    """All of them; the others from an environment of their own."""
    return [
        Bntt("bntt", "`bntt train`", Path(sys.executable)),
        SpikingJelly("SpikingJelly", "2.0.0, its example `lif_fc_mnist`", peers),
        Lightning("Lightning", "2.6.6, Trainer with a network of snnTorch 1.0.0", peers),
    ]
