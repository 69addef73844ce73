"""Write the project of bntt-runtime, the second distribution, into a new folder: ``python runtime/pack.py FOLDER``.

It is also the build backend of ``pip install ./runtime``.

Its package is the part of ``src/bntt`` that ``bntt.deploy.runtime`` imports at the top of its files, under another
name, with the two files of ``src/bntt_runtime``. What is built from that folder needs this one no longer.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
ENTRY = "bntt.deploy.runtime"
NEEDS = ("numpy", "safetensors", "pillow")
"""Packages it needs, of those that bntt does."""
IMPORT = re.compile(r"^(\s*from )bntt(?=[. ])", re.MULTILINE)


def file_of(module: str) -> Path:
    """Return the file of a module or package of bntt."""
    path = SOURCE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(module: str) -> Iterator[str]:
    """Yield the modules of bntt that a module imports when it is imported."""
    for node in ast.parse(file_of(module).read_text("utf-8")).body:
        if isinstance(node, ast.Import) and any(name.name.split(".")[0] == "bntt" for name in node.names):
            raise SystemExit(f"{module} has 'import bntt': write 'from bntt... import ...', which can be renamed")
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bntt":
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if file_of(inner).is_file() else str(node.module)


def needed(entry: str = ENTRY) -> set[str]:
    """Return a module and all of bntt that it imports, directly or not."""
    found, ahead = set[str](), [entry]
    while ahead:
        if (module := ahead.pop()) not in found:
            found.add(module)
            ahead += imported(module)
    return found


def packages(modules: set[str]) -> set[str]:
    """Return the packages that lie around modules and are none of them: of these only the docstring is packed."""
    around = {".".join(parts[:end]) for parts in (one.split(".") for one in modules) for end in range(2, len(parts))}
    return around - modules


def renamed(path: Path) -> Path:
    """Return where a file of ``src/bntt`` lies in the project."""
    return Path("src", "bntt_runtime", *path.relative_to(SOURCE / "bntt").parts)


def project() -> dict[str, Any]:
    """Return the project's pyproject.toml: bntt's, without what only bntt has."""
    made = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    facts, (kernels,) = made["project"], made["tool"]["setuptools"]["ext-modules"]
    facts |= {
        "name": "bntt-runtime",
        "description": "Run spiking networks that bntt trained, without PyTorch",
        "license-files": ["LICENSE"],
        "dependencies": [one for one in facts["dependencies"] if re.split(r"\W", one)[0] in NEEDS],
    }
    del facts["optional-dependencies"], facts["scripts"]
    kernels["name"] = kernels["name"].replace("bntt.", "bntt_runtime.", 1)
    for files in ("sources", "depends"):
        kernels[files] = [renamed(ROOT / one).as_posix() for one in kernels[files]]
    setuptools = {
        "include-package-data": False,
        "packages": {"find": {"where": ["src"]}},
        "package-data": {"bntt_runtime": ["py.typed"]},
        "dynamic": {"version": {"attr": "bntt_runtime.version.__version__"}},
        "ext-modules": [kernels],
    }
    wheels = made["tool"]["cibuildwheel"]
    wheels["test-command"] = wheels["test-command"].replace("bntt.", "bntt_runtime.")
    del wheels["test-skip"]  # NumPy, safetensors and Pillow are there for musl
    tools = {"setuptools": setuptools, "cibuildwheel": wheels}
    return {"build-system": made["build-system"], "project": facts, "tool": tools}


def write(folder: Path) -> None:
    """Write the project."""
    made, modules = project(), needed()
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(tomli_w.dumps(made), "utf-8")
    (folder / "MANIFEST.in").write_text("include CHANGELOG.md\n", "utf-8")
    shutil.copy(ROOT / "runtime" / "README.md", folder)
    for name in ("setup.py", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    texts = {renamed(file_of(one)): IMPORT.sub(r"\1bntt_runtime", file_of(one).read_text("utf-8")) for one in modules}
    for one in packages(modules):
        said = ast.get_docstring(ast.parse(file_of(one).read_text("utf-8")))
        texts[renamed(file_of(one))] = f'"""{said}"""\n'
    (kernels,) = made["tool"]["setuptools"]["ext-modules"]
    for place in (*kernels["sources"], *kernels["depends"]):
        texts[Path(place)] = (SOURCE / "bntt" / Path(place).relative_to("src/bntt_runtime")).read_text("utf-8")
    for path in (SOURCE / "bntt_runtime").glob("*.*"):
        texts[path.relative_to(ROOT)] = path.read_text("utf-8")
    for place, text in texts.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, "utf-8")


def built(hook: str, out: str, settings: Any) -> str:
    """Pack the project into a temporary folder, and build it there."""
    from setuptools import build_meta

    target = Path(out).resolve()
    with TemporaryDirectory() as folder:
        write(Path(folder) / "project")
        with chdir(Path(folder) / "project"):
            name: str = getattr(build_meta, hook)(str(target), settings)
    return name


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Build the wheel (PEP 517)."""
    return built("build_wheel", wheel_directory, config_settings)


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """Build the source distribution (PEP 517); it needs bntt's sources no longer."""
    return built("build_sdist", sdist_directory, config_settings)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
