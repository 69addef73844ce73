"""Named parts, and options: type, range, default and sentence of a field stand once, for recipes, help and Python.

Options are fields of frozen dataclasses, checked by pydantic::

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    \"\"\"Momentum of SGD; β₁ of Adam and AdamW.\"\"\"
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import core_schema

T = TypeVar("T")
Part = TypeVar("Part")
Definition = TypeVar("Definition", bound=Callable[..., Any])
Decorator = Callable[[Definition], Definition]
STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class Registry(dict[str, T]):
    """The parts of one kind by name, filled where they are defined; users can add their own.

    >>> shapes = Registry[str]("shape")
    >>> shapes.add("triangle", "three corners")
    >>> shapes["square"]
    Traceback (most recent call last):
    ValueError: unknown shape 'square': choose one of triangle
    """

    def __init__(self, kind: str, entries: Mapping[str, T] | None = None, error: type[ValueError] = ValueError) -> None:
        super().__init__(entries or {})
        self.kind, self.error = kind, error

    def add(self, name: str, entry: T) -> None:
        """Add an entry under a name."""
        if name in self:
            raise ValueError(f"there is a {self.kind} {name!r} already: choose another name")
        self[name] = entry

    def register(self, name: str) -> Decorator[Any]:
        """Return a decorator that adds a definition under this name."""

        def decorate(definition: Definition) -> Definition:
            self.add(name, definition)  # type: ignore[arg-type]
            return definition

        return decorate

    def resolve(self, value: str | T) -> T:
        """Return the entry of a name; a value that is not a string is returned unchanged."""
        return self[value] if isinstance(value, str) else value

    def __missing__(self, name: str) -> T:
        raise self.error(f"unknown {self.kind} {name!r}: choose one of {', '.join(self)}")


@dataclass(frozen=True)
class Kind(Generic[Part]):
    """A registered definition, a class or function, which is called with only the arguments that it names."""

    build: Callable[..., Part]
    offered: tuple[str, ...]
    """The arguments that the kinds of its registry can name, in positional order."""

    def __call__(self, *values: Any, **named: Any) -> Part:
        given = dict(zip(self.offered, values, strict=False)) | named
        return self.build(**{name: value for name, value in given.items() if self.takes(name)})

    def takes(self, name: str) -> bool:
        """Return True if the definition names an argument."""
        return name in inspect.signature(self.build).parameters


class Kinds(Registry[Kind[Part]]):
    """A registry of definitions that are called with arguments by name."""

    def __init__(self, kind: str, *offered: str) -> None:
        super().__init__(kind)
        self.offered = offered

    __call__ = Registry.register

    def add(self, name: str, entry: Any) -> None:
        """Add a definition, all of whose arguments without a default are offered."""
        from torch import nn

        none = getattr(entry, "__init__", None) is nn.Module.__init__  # (*args, **kwargs), of which it takes none
        for one in () if none else inspect.signature(entry).parameters.values():
            needed = one.default is one.empty and one.kind is not one.VAR_POSITIONAL
            if needed and one.name not in self.offered:
                raise ValueError(
                    f"the {self.kind} {name!r} needs '{one}', and is given {', '.join(self.offered)} by name: name "
                    f"those, and give others a default"
                )
        super().add(name, Kind(entry, self.offered))


@dataclass(frozen=True)
class OneOf:
    """The allowed values of a string, looked up when it is checked; a type besides ``str`` allows functions."""

    names: Callable[[], Collection[str]]
    or_none: bool = False
    """True if "" is also allowed, for no name."""

    def __get_pydantic_core_schema__(self, hint: Any, _: Any) -> core_schema.CoreSchema:
        def check(value: object) -> object:
            named = isinstance(value, str)
            if value in self.all_names() if named else hint is not str and callable(value):
                return value
            raise ValueError(value)

        return core_schema.no_info_plain_validator_function(check)

    def __get_pydantic_json_schema__(self, schema: Any, _: Any) -> dict[str, Any]:
        return {"enum": self.all_names()}

    def all_names(self) -> list[str]:
        """Return the allowed names."""
        return [*self.names(), *([""] if self.or_none else [])]


@dataclass(frozen=True)
class NoneAs:
    """How an option that is not set, None, is written in TOML, which has no null: this value is read as None."""

    written: float | str

    def __get_pydantic_core_schema__(self, hint: Any, handler: Any) -> core_schema.CoreSchema:
        def read(value: object) -> object:
            return None if value == self.written and not isinstance(value, bool) else value

        return core_schema.no_info_before_validator_function(read, handler(hint))


class OptionError(ValueError):
    """An option with an invalid value; the message names the option, what was expected and what was given."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name, self.problem = name, problem


@dataclass(frozen=True)
class Option:
    """A field of an options class."""

    name: str
    hint: Any
    default: Any
    """``dataclasses.MISSING`` if the option must be given."""
    sentence: str

    @functools.cached_property
    def _adapter(self) -> Any:
        return TypeAdapter(self.hint, config=STRICT)

    def written(self, value: object) -> Any:
        """Return a value of the option as TOML and JSON represent it."""
        if value is None:
            marks = getattr(self.hint, "__metadata__", ())
            return next((one.written for one in marks if isinstance(one, NoneAs)), None)
        return [self.written(one) for one in value] if isinstance(value, list | tuple) else value

    def accepted(self) -> str:
        """Return the accepted values, in words."""
        none = self.written(None)
        return _words(self._adapter.json_schema()) + ("" if none is None else f", or {json.dumps(none)} for none")

    def accepts(self, value: object) -> bool:
        """Return True if the option can hold a value."""
        with suppress(OptionError):
            self.check(value)
            return True
        return False

    def check(self, value: object) -> Any:
        """Return a value as the option holds it, lists as tuples; refuse it with an :class:`OptionError`."""
        if dataclasses.is_dataclass(self.hint):
            return value
        try:
            return _frozen(self._adapter.validate_python(value))
        except (ValidationError, OverflowError):  # an integer may be too large to become a float
            accepted = self.accepted()
            names = re.findall('"(.+?)"', accepted)
            texts = [one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, str)]
            near = [near for one in texts if one not in names for near in difflib.get_close_matches(one, names, n=1)]
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise OptionError(self.name, f"must be {accepted}, got {value!r}{hint}") from None


@functools.cache
def options_of(kind: type[Any]) -> dict[str, Option]:
    """Return the options of a dataclass, in the order of its fields.

    >>> from bntt.training.method import Method
    >>> options_of(Method)["momentum"].accepted()
    'a number from 0 to below 1'
    """
    hints, sentences = get_type_hints(kind, include_extras=True), dict[str, str]()
    for base in reversed(kind.__mro__[:-1]):
        sentences |= sentences_of(base)
    found = {}
    for field in dataclasses.fields(kind):
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        found[field.name] = Option(field.name, hints[field.name], default, sentences.get(field.name, ""))
    return found


def check_options(record: Any, kind: type | None = None) -> None:
    """Refuse a dataclass with an option outside its field's type or limits; turn its lists into tuples."""
    for name, option in options_of(kind or type(record)).items():
        object.__setattr__(record, name, option.check(getattr(record, name)))


def sentences_of(kind: type) -> dict[str, str]:
    """Return the docstrings under the fields of a class, each as one line."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):  # a class without a source file
        return {}
    found = {}
    for field, below in pairwise(getattr(tree, "body", ())):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(sentence))):
                found[name] = " ".join(sentence.split())
    return found


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


def _words(schema: dict[str, Any], ending: str = "") -> str:
    """Say what a JSON schema accepts; ``ending`` "s" for several."""
    words, a = list[str](), "" if ending else "a "
    for part in schema.get("anyOf", [schema]):
        kind = part.get("type")
        if kind == "null":
            continue
        listed = [part["const"]] if "const" in part else part.get("enum")
        if kind == "boolean":
            words += ["true", "false"]
        elif listed:
            words += map(json.dumps, listed)
        elif kind == "array":
            size = _size(part.get("minItems", 0), part.get("maxItems"))
            words.append(f"{a}list{ending} of {size}{_words(part['items'], 's')}")
        elif kind in ("number", "integer"):
            words.append(f"{a}{'whole ' * (kind == 'integer')}number{ending}{_limits(part)}")
        else:
            words.append("text" if kind == "string" else "a table of keys and values")
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _size(least: int, most: int | None) -> str:
    """Say how many elements a list has."""
    if most is None:
        return f"{least} or more " if least else ""
    return f"{most} " if least == most else f"{least} to {most} "


def _limits(schema: dict[str, Any]) -> str:
    """Say the range and unit of a number."""
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    high = f"to {most:,}" if most is not None else f"below {below:,}" if below is not None else ""
    if least is not None:
        said = f" from {least:,} {'to ' if most is None else ''}{high}" if high else f", {least:,} or more"
    else:
        said = f" above {above:,}{' and ' if high else ''}{high}" if above is not None else f" {high}" if high else ""
    return said + (f" ({schema['unit']})" if "unit" in schema else "")
