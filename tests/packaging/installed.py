"""Install wheels as users do, and run what they would: ``python tests/packaging/installed.py WHEEL... TRIAL``.

In new environments outside the checkout, by the Python to try, which needs nothing else. The wheel of bntt runs the
demo and leaves in the folder TRIAL a bundle, a picture, and what ``bntt predict`` says of it; that of bntt-runtime,
alone and without PyTorch, says the same. Where both are given, they are also installed side by side.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

BUNDLE, PICTURE, PREDICTED = "clothes.safetensors", "shoe.png", "predicted.json"
DRAWN = f"""
import bntt; from PIL import Image
Image.fromarray(bntt.data.fashion_mnist_bundled().test.images[333, 0].numpy()).save({PICTURE!r})
"""
ONE_CLASS = "import bntt.deploy, bntt_runtime; assert bntt.deploy.Runtime is bntt_runtime.Runtime"


class Environment:
    """A new environment, and the folder in which its commands run."""

    def __init__(self, place: Path, trial: Path) -> None:
        self.place, self.trial = place, trial
        venv.create(place, with_pip=True)

    def says(self, *command: object, code: int = 0) -> str:
        """Run one of its commands, which ends with this code, and return what it prints."""
        program, *arguments = map(str, command)
        print(f"{sys.version.split()[0]}, {self.place.name}: {' '.join(map(str, command))}", flush=True)
        path = self.place / "bin" / program
        done = subprocess.run(
            [path, *arguments], cwd=self.trial, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode != code:
            raise SystemExit(f"it ended with {done.returncode}, not {code}:\n{done.stdout}")
        return done.stdout

    def installs(self, wheel: Path) -> None:
        """Install a wheel with what it needs, and check that all of it fits together."""
        self.says("pip", "install", "--quiet", wheel)
        print(self.says("pip", "check").strip(), flush=True)


def try_bntt(full: Environment, wheel: Path) -> None:
    """The package: its kernels run, its demo learns, its network leaves it."""
    full.installs(wheel)
    backends = full.says("bntt", "list", "backends")
    if "cpu        fused C++ kernels" not in backends:
        raise SystemExit(f"{wheel.name} has no kernels that run here:\n{backends}")
    print(full.says("bntt", "demo"), flush=True)
    full.says("bntt", "export", "--out", BUNDLE)
    full.says("python", "-c", DRAWN)
    said = full.says("bntt", "predict", PICTURE, "--bundle", BUNDLE, "--json")
    (full.trial / PREDICTED).write_text(said, "utf-8")


def try_runtime(lean: Environment, wheel: Path) -> None:
    """The runtime alone: it never meets PyTorch, has kernels, says what bntt does, and refuses half a bundle."""
    lean.installs(wheel)
    lean.says("python", "-c", "import torch", code=1)
    print(lean.says("python", "-m", "bntt_runtime", BUNDLE, PICTURE, "--exit", "confidence", "0.9").strip())
    ours = json.loads(lean.says("python", "-m", "bntt_runtime", BUNDLE, PICTURE, "--json"))
    theirs = json.loads((lean.trial / PREDICTED).read_text("utf-8"))
    one, other = ours["images"][0], theirs["images"][0]
    apart = max(abs(a - b) for a, b in zip(one["confidence"], other["confidence"][-1], strict=True))
    if ours["backend"] != "kernels" or one["label"] != other["label"] or apart > 1e-6:
        raise SystemExit(f"the runtime says {one}, bntt predict {other}")
    print(f"as bntt predict: {one['label']}, confidences within {apart:.1g}")
    (lean.trial / "half").write_bytes((lean.trial / BUNDLE).read_bytes()[:400_000])
    print(lean.says("python", "-m", "bntt_runtime", "half", PICTURE, code=4).strip())


def try_both(full: Environment, runtime: Path) -> None:
    """Side by side they are one class."""
    full.installs(runtime)
    full.says("python", "-c", ONE_CLASS)


def main(*wheels: Path, trial: Path) -> None:
    trial.mkdir(exist_ok=True)
    runtimes = [one for one in wheels if one.name.startswith("bntt_runtime-")]
    others = [one for one in wheels if one not in runtimes]
    with tempfile.TemporaryDirectory(prefix="bntt-installed-") as place:
        if others:
            full = Environment(Path(place) / "bntt", trial)
            try_bntt(full, *others)
        if runtimes:
            try_runtime(Environment(Path(place) / "bntt-runtime", trial), *runtimes)
        if others and runtimes:
            try_both(full, *runtimes)
    print(f"installed and run by Python {sys.version.split()[0]}: {', '.join(one.name for one in wheels)}")


if __name__ == "__main__":
    *given, last = (Path(one).resolve() for one in sys.argv[1:])
    main(*given, trial=last)
