"""Say what is in the distributions of a folder, and refuse what is too large or astray: ``python contents.py dist``.

Beyond data and weights a wheel has at most six million bytes: with debug symbols the kernels alone are more. An sdist
has the change log, and no tests.
"""

import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

BUNDLED = (".npz", ".safetensors")
LARGEST = 6_000_000


def say_wheel(wheel: Path) -> None:
    """Print the bytes of a wheel beyond data and weights, packed and installed."""
    with zipfile.ZipFile(wheel) as archive:
        files = [one for one in archive.infolist() if not one.filename.endswith(BUNDLED)]
    packed, installed = sum(one.compress_size for one in files), sum(one.file_size for one in files)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes; beyond data and weights {packed:,}, {installed:,} installed")
    if packed > LARGEST:
        raise SystemExit(f"{wheel.name} has {packed:,} bytes beyond data and weights, more than {LARGEST:,}")


def say_sdist(sdist: Path) -> None:
    """Print how many files of which kind each folder of an sdist holds, and what lies at its top."""
    with tarfile.open(sdist) as archive:
        names = [Path(one.name).relative_to(Path(one.name).parts[0]) for one in archive.getmembers() if one.isfile()]
    top = sorted(str(name) for name in names if len(name.parts) == 1)
    print(f"{sdist.name}: {sdist.stat().st_size:,} bytes; {', '.join(top)}")
    for folder in sorted({name.parts[0] for name in names if len(name.parts) > 1}):
        kinds = Counter(name.suffix or name.name for name in names if name.parts[0] == folder)
        print(f"  {folder}/: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}")
    if astray := sorted({name.parts[0] for name in names if len(name.parts) > 1} - {"src"}):
        raise SystemExit(f"{sdist.name} has {', '.join(astray)}: src alone belongs there")
    if "CHANGELOG.md" not in top:
        raise SystemExit(f"{sdist.name} has no CHANGELOG.md")


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*.whl")):
        say_wheel(path)
    for path in sorted(Path(sys.argv[1]).glob("*.tar.gz")):
        say_sdist(path)
