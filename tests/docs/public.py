"""The public names of ``bntt``, and what their docstrings lack."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from enum import Enum
from pathlib import Path
from typing import Any

from torch.autograd import Function

import bntt
from bntt.options import _sentences

RE_EXPORTS = ("bntt.nn", "bntt.models", "bntt.data", "bntt.training", "bntt.interop")
LISTS = ("bntt", "bntt.analysis", "bntt.deploy")
WHOLE = ("bntt.register", *(f"bntt.ops.{m.name}" for m in pkgutil.iter_modules(bntt.ops.__path__)))
RUNS = (
    "bntt.runs.measure.measure",
    "bntt.runs.open_run.LoadedRun",
    "bntt.runs.recipe.schema.Recipe",
    "bntt.runs.training.fit.History",
)


def public_names() -> dict[str, Any]:
    """Each public class and function once, by the first door that leads to it."""
    found: dict[str, Any] = {}
    for module in map(importlib.import_module, LISTS):
        found |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    for module in map(importlib.import_module, RE_EXPORTS):
        names = re.findall(r" as (\w+)", Path(module.__file__).read_text(encoding="utf-8"))
        found |= {f"{module.__name__}.{name}": getattr(module, name) for name in names}
    for module in map(importlib.import_module, WHOLE):
        own = {name: one for name, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__}
        found |= {f"{module.__name__}.{name}": one for name, one in own.items() if not name.startswith("_")}
    for place in RUNS:
        module, _, name = place.rpartition(".")
        found[place] = getattr(importlib.import_module(module), name)
    once = {
        id(one): (name, one)
        for name, one in reversed(found.items())
        if (inspect.isclass(one) and not issubclass(one, Function)) or inspect.isfunction(one)
    }
    return dict(sorted(once.values()))


def lacks(one: Any) -> list[str]:
    """What the docstring of a public class or function lacks, in words; [] if nothing."""
    text = inspect.getdoc(one) if one.__doc__ else ""
    if not text:
        return ["a docstring"]
    found = [] if re.match(r"[^\n]+\.(\n\n|$)", text) else ["a summary of one line"]
    if ">>>" not in text and not (inspect.isclass(one) and issubclass(one, BaseException)) and not shown_elsewhere(one):
        found.append("an example")
    if inspect.isclass(one):
        return found + class_lacks(one, text)
    return found + call_lacks(one, text)


def call_lacks(function: Any, text: str) -> list[str]:
    """The parameters, the value and the errors of a function that its docstring does not describe."""
    found = [f"Args: {name}" for name in parameters(function) if name not in described(text)]
    returns = inspect.signature(function).return_annotation
    if (
        returns not in (None, "None", "Decorator[Any]", "Iterator[None]", inspect.Signature.empty)
        and not re.match(r"(Return|Yield)\b", text)
        and "Returns:" not in text
        and "Yields:" not in text
    ):
        found.append("Returns")
    raised = errors_of(function)
    found += [f"Raises: {name}" for name in raised if name not in described(text, "Raises")]
    return found


def class_lacks(kind: type, text: str) -> list[str]:
    """The arguments and methods of a class that have no words."""
    found = []
    if not issubclass(kind, BaseException) and not getattr(kind, "_is_protocol", False):
        told = (
            described(text)
            | described(text, "Attributes")
            | {name for base in kind.__mro__ for name in _sentences(base)}
        )
        try:
            names = parameters(kind)
        except ValueError:
            names = []
        found += [f"Args: {name}" for name in names if name not in told]
    for name, method in vars(kind).items():
        function = method.fget if isinstance(method, property) else getattr(method, "__func__", method)
        if name.startswith("_") or name == "extra_repr" or not inspect.isfunction(function):
            continue
        words = function.__doc__ or ""
        if not words:
            found.append(f"{name}: a docstring")
    return found


def parameters(function: Any) -> list[str]:
    if inspect.isclass(function) and issubclass(function, Enum):
        return []
    names = [name for name in inspect.signature(function).parameters if name not in {"self", "cls", "args", "kwargs"}]
    return [name for name in names if not name.startswith("_")]


def described(text: str, section: str = "Args") -> set[str]:
    """The names that a section describes: ``seed, draw: ...`` are two."""
    part = re.search(rf"^{section}:\n((?:[ ]+.*\n?|\n)*)", text + "\n", re.M)
    rows = re.findall(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):", part[1], re.M) if part else []
    return {name.strip("* ") for row in rows for name in row.split(",")}


def errors_of(function: Any) -> list[str]:
    """The errors that a function itself raises, by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return sorted({ast.unparse(error.func).rpartition(".")[2] for error in raised})


def shown_elsewhere(one: Any) -> bool:
    """Whether a record is ``returned by :func:`x` ``, whose docstring has an example."""
    maker = re.search(r"returned by :(?:func|meth):`~?([\w.]+)`", one.__doc__ or "", re.I)
    if not maker:
        return False
    place = maker[1] if maker[1].startswith("bntt.") else f"{one.__module__}.{maker[1]}"
    found = resolve(place)
    return ">>>" in (found.__doc__ or "")


def resolve(place: str) -> Any:
    """Import as far as modules go, then attributes."""
    parts = place.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(place)
