"""The public names of ``bntt``, and what their docstrings lack."""

import ast
import importlib
import inspect
import re
import textwrap
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from torch.autograd import Function

from bntt.registry import sentences_of
from tests.docs.test_docs import resolve


def public_names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Each public class and function, as the site lists them; adapters need their peers and are left out."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs")
    names = importlib.import_module("extension.names")
    peers = tuple(f"bntt.interop.{peer}" for peer in (*names.PEERS, "hub"))
    places = [one for one in names.public_names().values() if not one.home.startswith(peers)]
    found = {one.path: resolve(f"{one.home}.{one.short}") for one in places}
    return {name: one for name, one in found.items() if inspect.isfunction(one) or is_documented(one)}


def is_documented(one: Any) -> bool:
    """Whether it is a class; autograd's functions are theirs."""
    return inspect.isclass(one) and not issubclass(one, Function)


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
            described(text, "Attributes")
            | {name for base in kind.__mro__ for name in described(inspect.cleandoc(base.__doc__ or ""))}
            | {name for base in kind.__mro__ for name in sentences_of(base)}
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


def used_in(code: str) -> set[str]:
    """The paths of ``bntt`` that code imports or reads, by whatever name it calls a module."""
    tree, called, found = ast.parse(code), {"bntt": "bntt"}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            called |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            called |= {one.asname: one.name for one in node.names if one.asname}
            found |= {one.name for one in node.names}
    for node in ast.walk(tree):
        first, _, rest = ast.unparse(node).partition(".") if isinstance(node, ast.Attribute) else ("", "", "")
        if first in called and re.fullmatch(r"[\w.]+", rest):
            found.add(f"{called[first]}.{rest}")
    return {path for path in {*called.values()} | found if path.partition(".")[0] in {"bntt", "bntt_runtime"}}


def shown_elsewhere(one: Any) -> bool:
    """Whether a record is ``returned by :func:`x` ``, whose docstring has an example."""
    maker = re.search(r"returned by :(?:func|meth):`~?([\w.]+)`", one.__doc__ or "", re.I)
    if not maker:
        return False
    place = maker[1] if maker[1].startswith("bntt.") else f"{one.__module__}.{maker[1]}"
    found = resolve(place)
    return ">>>" in (found.__doc__ or "")
