"""The public names of ``bntt``, and what their docstrings lack."""

import ast
import importlib
import inspect
import re
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
    is_error, told = inspect.isclass(one) and issubclass(one, BaseException), described(text)
    if ">>>" not in text and not is_error and not shown_elsewhere(one):
        found.append("an example")
    if inspect.isclass(one):
        told |= {name for base in one.__mro__ for name in described(inspect.cleandoc(base.__doc__ or ""))}
        told |= {name for base in one.__mro__ for name in sentences_of(base)}
        methods = {
            name: getattr(method, "__func__", method)
            for name, method in vars(one).items()
            if name[0] != "_" and name != "extra_repr"
        }
        found += [
            f"{name}: a docstring" for name, call in methods.items() if inspect.isfunction(call) and not call.__doc__
        ]
    silent = is_error or getattr(one, "_is_protocol", False)
    return found + [f"Args: {name}" for name in ([] if silent else parameters(one)) if name not in told]


def parameters(one: Any) -> list[str]:
    if inspect.isclass(one) and issubclass(one, Enum):
        return []
    try:
        names = inspect.signature(one).parameters
    except ValueError:
        return []
    return [name for name in names if name not in {"self", "cls", "args", "kwargs"} and not name.startswith("_")]


def described(text: str) -> set[str]:
    """The names that the sections of arguments and attributes describe: ``seed, draw: ...`` are two."""
    parts = re.findall(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)*)", text + "\n", re.M)
    rows = [row for part in parts for row in re.findall(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):", part, re.M)]
    return {name.strip("* ") for row in rows for name in row.split(",")}


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
