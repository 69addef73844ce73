"""Pages of the API: which names a page has is a list of files, what is said of each is its docstring."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

from .names import Name, chosen, opened, path_of, public_names

LOG = logging.getLogger(__name__)
ROLE = re.compile(r":(?:py:)?(mod|class|func|meth|attr|data|exc|obj):`(?:([^`<]+?) <)?(~?[\w.]+)>?`")
VALIDATED = re.compile(r"Annotated\[([^,]+), BeforeValidator\([^)]*\)\]")
PIPES = re.compile(r"(?<![|\\])\|(?=[^\s|])([^|\n]*?)(?<!\s)\|(?!\|)")


def names(lines: list[str]) -> str:
    """Expand a block of names: for each of them a directive of autodoc."""
    return "\n".join(["```{eval-rst}", *(entry(one) for one in chosen(lines)), "```"])


def entry(name: Name) -> str:
    """What documents a name: a class with its members, a function, or a value with what it is."""
    also = "".join(f"\n   Also :code:`{path}`.\n" for path in name.also)
    if inspect.isclass(name.value) and not hasattr(name.value, "__origin__"):
        return f".. autoclass:: {name.path}\n   :members:\n{also}"
    if inspect.isfunction(name.value):
        return f".. autofunction:: {name.path}\n{also}"
    said = resolved(comment_of(name.home, name.short), name.home, "") or "A type."
    listed = ", ".join(f"``{one}``" for one in name.value) if hasattr(name.value, "keys") else ""
    listed = f"\n   Names: {listed}.\n" if listed else ""
    return f".. py:data:: {name.path}\n\n" + "".join(f"   {line}\n" for line in said.splitlines()) + listed + also


def comment_of(home: str, name: str) -> str:
    """The text under an assignment, which is the documentation of a value."""
    return "\n".join(ModuleAnalyzer.for_module(home).find_attr_docs().get(("", name), [])).strip()


def code(lines: list[str]) -> str:
    """Expand a block of paths: the source of each function or class, without its docstring."""
    made: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        home, _, name = line.rpartition(".")
        value = getattr(importlib.import_module(home), name)
        (tree,) = ast.parse(text := inspect.getsource(value)).body
        said = {
            number
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
            for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
        }
        kept = "\n".join(one for number, one in enumerate(text.splitlines(), 1) if number not in said)
        made += ["```python", re.sub(r"(:\n)\n+", r"\1", kept), "```"]
        path, file = path_of(value.__module__, name), f"`{value.__module__.replace('.', '/')}.py`"
        made += ["", f"{{py:obj}}`{path}`, of {file}." if path else f"From {file}.", ""]
    return "\n".join(made)


def resolved(text: str, home: str, inside: str) -> str:
    """A docstring whose roles name what is shown, by the path it is shown under; what is not public stays as words.

    Args:
        home: the module of the docstring.
        inside: the class of the docstring, if there is one.
    """

    def target(match: re.Match[str]) -> str:
        kind, title, named = match.groups()
        shown, value = named.removeprefix("~"), None
        found = find(shown, home, inside)
        if found is None:
            LOG.warning("%s: %s names nothing", home, match[0], type="bntt")
            return f"``{shown}``"
        value, parts = found
        title = title or (shown.rpartition(".")[2] if named != shown else shown)
        call = "()" if kind in ("func", "meth") and not title.endswith(")") and " " not in title else ""
        if path := path_of(value.__module__, parts[0]) if parts else None:
            return f":py:obj:`{title}{call} <{'.'.join([path, *parts[1:]])}>`"
        return f"``{title}{call}``"

    return ROLE.sub(target, text)


def find(named: str, home: str, inside: str) -> tuple[Any, list[str]] | None:
    """The class, function or module that a role means, and the parts of its name; None if there is nothing.

    The first of the two is what the module defines, for a method its class; a module has no parts.
    """
    module = opened(home)
    roots = [getattr(module, inside, None), module] if inside else [module]
    parts = named.split(".")
    for end in range(len(parts), 0, -1):
        try:
            roots.append(importlib.import_module(".".join(parts[:end])))
        except (ImportError, ValueError):
            continue
        if end == len(parts):
            return roots[-1], []
        return _walk(roots[-1], parts[end:])
    for root in roots:
        if root is not None and (found := _walk(root, parts)):
            return found
    beside = [one for one in public_names().values() if one.short == parts[0]]
    if len(beside) == 1:  # of another file of the library
        return _walk(opened(beside[0].home), parts)
    return (builtins, []) if hasattr(builtins, parts[0]) else None


def _walk(root: Any, parts: list[str]) -> tuple[Any, list[str]] | None:
    first, value = None, root
    for part in parts:
        fields = getattr(value, "__annotations__", {})
        if not hasattr(value, part) and part not in fields:
            return None
        value = getattr(value, part, None)
        first = value if first is None else first
    if inspect.isclass(root):
        return root, [root.__name__, *parts]
    if not hasattr(first, "__module__") or not hasattr(first, "__qualname__"):
        return first if hasattr(first, "__module__") else builtins, []
    return first, [first.__qualname__, *parts[1:]]


def on_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Prepare a docstring for Sphinx: roles, and |γ|, which it would take for a substitution."""
    owner = max(
        (one for one in public_names().values() if f"{name}.".startswith(f"{one.path}.")), default=None, key=_long
    )
    home = owner.home if owner else name.rpartition(".")[0]
    inside = owner.short if owner and inspect.isclass(owner.value) else ""
    text = "``".join(
        part if number % 2 else PIPES.sub(r"\\|\1\\|", part) for number, part in enumerate("\n".join(lines).split("``"))
    )
    inline = ["\\ "] * (what in ("attribute", "property"))  # or napoleon would take what is before a colon for a type
    lines[:] = inline + resolved(text, home, inside).splitlines()


def on_signature(
    app: Sphinx, what: str, name: str, value: Any, options: Any, said: str | None, gives: str | None
) -> Any:
    """Leave out of a signature what is none: that of a protocol, and how pydantic checks a field."""
    if not said:
        return None
    return "" if getattr(value, "_is_protocol", False) else VALIDATED.sub(r"\1", said), gives


def on_types(app: Sphinx, doctree: nodes.document) -> None:
    """Types that are a bare word, an axis of a tensor or a name known to type checkers alone, are words."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("reftype") in ("class", "obj") and "." not in node["reftarget"] and node.get("refdomain") == "py":
            node.replace_self(node.children)


def _long(name: Name) -> int:
    return len(name.path)


def on_missing(app: Sphinx, env: BuildEnvironment, node: pending_xref, words: nodes.Element) -> nodes.Element | None:
    """Types in signatures that are not shown here, PyTorch's or those within the library, are words."""
    if node.get("refdomain") != "py":
        return None
    target = node.get("reftarget", "")
    return words if not target.startswith("bntt") or find(target, "bntt", "") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Add it to a site."""
    app.connect("autodoc-process-docstring", on_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", on_signature)
    app.connect("doctree-read", on_types)
    app.connect("missing-reference", on_missing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
