"""Install a wheel as a user does and run the demo: ``python tests/packaging/installed.py WHEEL``, by the Python to try.

In a new environment outside the checkout. The wheel holds kernels, is small, fits its dependencies, and learns.
"""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

BUNDLED = (".npz", ".safetensors")
LARGEST = 6_000_000
"""Bytes of a wheel beyond its data and weights; with debug symbols the kernels alone are more."""


def sizes_of(wheel: Path) -> tuple[int, int]:
    """Add up the bytes beyond data and weights: those of the wheel, packed, and those that it installs."""
    with zipfile.ZipFile(wheel) as archive:
        files = [one for one in archive.infolist() if not one.filename.endswith(BUNDLED)]
    return sum(one.compress_size for one in files), sum(one.file_size for one in files)


def said(folder: Path, *command: str) -> str:
    """Run a command of the environment in a folder and return what it prints."""
    program, *arguments = command
    path = folder / "environment" / "bin" / program
    print(f"{sys.version.split()[0]}: {' '.join(command)}", flush=True)
    done = subprocess.run([path, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def main(wheel: Path) -> None:
    packed, installed = sizes_of(wheel)
    if packed > LARGEST:
        raise SystemExit(f"{wheel.name} has {packed} bytes beyond data and weights, more than {LARGEST}")
    with tempfile.TemporaryDirectory(prefix="bntt-installed-") as place:
        folder = Path(place)
        venv.create(folder / "environment", with_pip=True)
        said(folder, "pip", "install", "--quiet", str(wheel))
        print(said(folder, "pip", "check").strip())
        backends = said(folder, "bntt", "list", "backends")
        if "cpu        fused C++ kernels" not in backends:
            raise SystemExit(f"{wheel.name} has no kernels that run here:\n{backends}")
        print(said(folder, "bntt", "demo"))
    print(
        f"{wheel.name}: beyond data and weights {packed} bytes, {installed} installed; Python {sys.version.split()[0]}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
