"""What no linter holds: sizes of files and folders, command lines; and that the linters refuse what they should."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import FILES, ROOT, SOURCE, code_of, name

BUDGET, SPARE = 41019, 250
"""Most lines under ``src``, and how far below it they may fall before the commit that takes them out lowers it."""
MOST_LINES, MOST_FILES = 800, 18
OTHER_PROGRAMS = {"runs/environment.py", "deploy/nir/graph.py"}
"""Where command lines are built: of git, and of a process where HDF5 is opened."""
WRONG = {
    "ops/lif.py": "from bntt.nn import BNTT",
    "engine/compute.py": "import bntt.io.files",
    "training/fit.py": "from bntt.analysis import evaluate",
    "data/loader.py": "from bntt.ops import lif",
    "runs/identity.py": "from bntt.studies import pool",
    "analysis/result.py": "def draw():\n    import matplotlib",
    "io/files.py": "from bntt.charts import records",
    "runs/measure.py": "from benchmarks import cases",
    "charts/records.py": "from bntt.ops import lif",
    "training/schedule.py": "from bntt.charts import records",
    "deploy/bundle.py": "import torch",
}
"""An import that its room must not have, by file."""


def test_the_source_keeps_within_its_budget():
    """Lowered by every commit that earns it, and never raised."""
    kinds = {".py", ".pyi", ".cpp", ".inl", ".h", ".html", ".css", ".js"}
    lines = {path: count_lines(path) for path in (ROOT / "src").rglob("*") if path.suffix in kinds}
    assert SOURCE / "engine" / "cpu" / "scan.inl" in lines
    assert BUDGET - SPARE <= sum(lines.values()) <= BUDGET
    assert not {name(path): count for path, count in lines.items() if count > MOST_LINES}
    files = {name(folder): len(list(folder.glob("*.py"))) for folder in {path.parent for path in FILES}}
    assert not {folder: count for folder, count in files.items() if count > MOST_FILES}
    assert not {path.stem for path in FILES} & {"utils", "common", "misc", "helpers"}


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def flags_in(code: str) -> set[str]:
    """Words of a command line: flags in lists and tuples."""
    rows = [node.elts for node in ast.walk(ast.parse(code)) if isinstance(node, ast.List | ast.Tuple)]
    texts = {
        node.value for row in rows for node in row if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if re.fullmatch(r"-[a-zA-Z]|--[a-z][a-z-]*(=.*)?", text)}


def test_no_command_line_is_built_inside_the_library():
    assert flags_in("run(['attack', str(run), '--eot', '3'])") == {"--eot"}
    assert not flags_in("['attack', '-', 'a-b', '-untrained']; check('--eot')")
    built = {name(path) for path in FILES if not name(path).startswith("cli/") and flags_in(code_of(path))}
    assert built == OTHER_PROGRAMS


def linted(folder: Path) -> str:
    """What import-linter says of a tree."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": "src"}, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_wrong_imports_are_refused(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        SOURCE,
        tmp_path / "src" / "bntt",
        ignore=lambda _, names: [n for n in names if n.endswith((".so", ".npz", ".safetensors"))],
    )
    for file, line in WRONG.items():
        with (tmp_path / "src" / "bntt" / file).open("a", encoding="utf-8") as source:
            source.write(f"\n\n{line}\n")
    said = linted(tmp_path)
    for file in WRONG:
        assert f"bntt.{file.removesuffix('.py').replace('/', '.')} -> " in said, file


def test_private_names_and_banned_calls_are_refused():
    code = (
        '"""A file."""\n\nimport torch\nfrom torch import load\nfrom torch._dynamo import x\n'
        "y = load, x, torch._C.f, torch.nn.Linear(1, 1)._forward_pre_hooks\n"
    )
    ruff = Path(sys.executable).with_name("ruff")
    place = SOURCE / "nn" / "new.py"
    command = [ruff, "check", "--no-cache", "--output-format", "concise", "--stdin-filename", place, "-"]
    said = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True).stdout
    for part in ("`torch.load` is banned", "import `_dynamo`", "accessed: `_C`", "accessed: `_forward_pre_hooks`"):
        assert part in said, said
