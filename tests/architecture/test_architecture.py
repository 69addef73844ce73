"""The shape of the project, held by the machine: imports point down, one owner each, every file with its tests."""

import ast
import re

import pytest

from tests.architecture.source import FILES, ROOT, SOURCE, code_of, imports, name

BELOW = {
    "cli": {"studies", "bench"},
    "studies": {"runs"},
    "runs": {"analysis", "training", "models", "data", "charts"},
    "bench": {"training", "models", "data", "analysis", "charts"},
    "analysis": {"nn", "io", "charts"},
    "training": {"nn", "io"},
    "models": {"nn", "io"},
    "data": {"ops.random", "io"},
    "nn": {"engine"},
    "engine": {"ops"},
    "ops": set(),
    "charts": {"io"},
    "io": set(),
}
"""What a room opens directly; what those open it may open too."""
OTHER_PROGRAMS = {"runs/environment.py", "bench/timing.py"}
"""Where command lines are built: of git, and of the process in which a benchmark is timed."""
OWNERS = {
    "print(": {"cli/main.py", "cli/console.py"},
    "Console(": {"cli/console.py"},
    "matplotlib": {"charts/files.py", "charts/file_charts.py"},
    "jinja2": {"studies/report/page.py"},
    "safe_open": {"io/checkpoint.py"},
    "torch.load": {"io/pickled.py"},
    "urlopen": {"data/download.py"},
    "urllib": {"data/download.py"},
    "tarfile": {"data/images/cifar.py"},
    "zipfile": {"data/listing.py", "io/pickled.py"},
    "subprocess": {"studies/workers.py", *OTHER_PROGRAMS},
    "import_module": {"__init__.py", "analysis/__init__.py"},
    "importlib.import_module": set(),
    "importlib.util.module_from_spec": set(),
    "__import__": set(),
}
PRIVATE = "engine/private.py"
"""Where PyTorch's private names are."""
HOOKS = r"_(global_)?(module_)?(forward|backward|state_dict|load_state_dict)_(pre_)?hooks(_\w+)?"
UNPROMISED = rf"torch\._C|torch\.cpu\._is|\b_current_level\b|\b_has_any_global_hook\b|\b{HOOKS}\b"
BANNED = ("pickle.load", "weights_only=False", "extractall", "shell=True", "http://", "yaml")


def reachable(room: str) -> set[str]:
    """A room, and every room that its arrows lead to."""
    return {room}.union(*(reachable(below) for below in BELOW.get(room, ())))


@pytest.mark.parametrize("path", [p for p in FILES if len(p.relative_to(SOURCE).parts) > 1], ids=name)
def test_imports_point_down(path):
    room = path.relative_to(SOURCE).parts[0]
    for module in imports(path):
        if module.startswith("version"):
            continue
        assert any(module == a or module.startswith(a + ".") for a in reachable(room)), (
            f"{name(path)} imports bntt.{module}"
        )


def test_every_room_is_in_the_list():
    rooms = {p.name for p in SOURCE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert rooms <= BELOW.keys()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_drawer_for_odds_and_ends(path):
    assert path.stem not in {"utils", "common", "misc", "helpers"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_one_owner_each_and_nothing_unsafe(path):
    code = code_of(path)
    for what, owners in OWNERS.items():
        if name(path) not in owners:
            assert not re.search(rf"(?<![\w.]){re.escape(what)}", code), f"{name(path)} uses {what}"
    called = {
        node.func.id
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"eval", "exec"}
    for what in BANNED:
        assert not re.search(rf"(?<![\w.]){re.escape(what)}", code), f"{name(path)} uses {what}"


def flags_in(code: str) -> set[str]:
    """Words of a command line: flags in lists and tuples."""
    rows = [node.elts for node in ast.walk(ast.parse(code)) if isinstance(node, ast.List | ast.Tuple)]
    texts = {
        node.value for row in rows for node in row if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if re.fullmatch(r"-[a-zA-Z]|--[a-z][a-z-]*(=.*)?", text)}


@pytest.mark.parametrize("path", [p for p in FILES if not name(p).startswith("cli/")], ids=name)
def test_no_command_line_is_built_inside_the_library(path):
    assert name(path) in OTHER_PROGRAMS or not flags_in(code_of(path))


def test_command_lines_are_recognised():
    assert flags_in("run(['attack', str(run), '--eot', '3'])") == {"--eot"}
    assert flags_in("program = (sys.executable, '-m', 'bntt', *words)") == {"-m"}
    assert not flags_in("['attack', '-', 'a-b', '-untrained']; check('--eot')")
    assert all(flags_in(code_of(path)) for path in FILES if name(path) in OTHER_PROGRAMS)


def private_names_of_torch(code: str) -> set[str]:
    """What a file takes from PyTorch that begins with an underscore: by import, or out of what it imported."""
    tree, bound, taken = ast.parse(code), {"torch"}, []
    for node in ast.walk(tree):
        names = node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
        home = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for alias in names:
            path = ".".join([*home, alias.name])
            if path.partition(".")[0] == "torch":
                bound.add(alias.asname or alias.name.partition(".")[0])
                taken.append(path)
    taken += [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    chains = [text.split(".") for text in taken]
    found = {part for first, *rest in chains if first in bound for part in rest if re.fullmatch(r"_[^_]\w*", part)}
    return found | {match[0] for match in re.finditer(UNPROMISED, code)}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_one_file_has_what_pytorch_does_not_promise(path):
    found = private_names_of_torch(code_of(path))
    if name(path) != PRIVATE:
        assert not found, f"{name(path)}: ask bntt.engine.private"


def test_private_names_are_recognised():
    for code in (
        "import torch\ntorch._C.f()",
        "import torch.cpu as t\nt._is_it()",
        "from torch.autograd import forward_ad as a\na._current_level",
        "from torch.nn.modules.module import _has_any_global_hook",
        "from torch._dynamo import x",
        "import torch._dynamo",
        "net._forward_pre_hooks",
        "getattr(net, '_backward_hooks')",
    ):
        assert private_names_of_torch(code), code
    assert not private_names_of_torch("import torch\ntorch.nn.Linear(1, 1).weight.__class__\nmine._private")


@pytest.mark.parametrize("path", [p for p in FILES if not p.name.startswith("__") and p.parent != SOURCE], ids=name)
def test_every_source_file_has_its_tests(path):
    relative = path.relative_to(SOURCE)
    assert (ROOT / "tests" / relative.parent / f"test_{relative.name}").exists()


def test_public_names_resolve():
    import bntt

    for public in bntt.__all__:
        assert getattr(bntt, public) is not None


@pytest.mark.parametrize("path", FILES, ids=name)
def test_public_functions_say_what_they_are(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name(path)}: {node.name}"
