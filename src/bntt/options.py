"""Options: fields of frozen dataclasses, each with its type, range and sentence in one place, checked by pydantic.

Recipes are made of the same classes, and ``bntt show`` and every error print the same words::

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    \"\"\"Momentum of SGD; β₁ of Adam and AdamW.\"\"\"
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import core_schema

Kind = TypeVar("Kind")
STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


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
    def adapter(self) -> Any:
        """The pydantic ``TypeAdapter`` that checks its values."""
        return TypeAdapter(self.hint, config=STRICT)

    def accepted(self) -> str:
        """Return the accepted values, in words."""
        return _words(self.adapter.json_schema())

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
            return _frozen(self.adapter.validate_python(value))
        except (ValidationError, OverflowError):  # an integer may be too large to become a float
            names = [*_names(self.adapter.json_schema())]
            texts = [one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, str)]
            near = [near for one in texts if one not in names for near in difflib.get_close_matches(one, names, n=1)]
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise OptionError(self.name, f"must be {self.accepted()}, got {value!r}{hint}") from None


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


def check_keywords(call: str, given: Collection[str], known: Collection[str]) -> None:
    """Refuse an unknown keyword argument, and suggest the nearest known one.

    >>> check_keywords("vgg9()", ["num_step"], ["num_steps", "leak"])
    Traceback (most recent call last):
    TypeError: vgg9() got an unexpected keyword argument 'num_step': did you mean 'num_steps'?
    """
    for name in given:
        if name not in known:
            near = "".join(f"did you mean {one!r}?" for one in difflib.get_close_matches(name, known, n=1))
            way = near or f"it takes {', '.join(known)}"
            raise TypeError(f"{call} got an unexpected keyword argument {name!r}: {way}")


@dataclass(frozen=True)
class Explained:
    """A class's docstring whose ``Args`` are made from its options when it is read, so that ``help`` describes each."""

    text: str

    def __get__(self, _: object, kind: type) -> str:
        about, _, rest = inspect.cleandoc(self.text).partition("\n\nRaises:")
        said = [f"    {name}: {one.accepted()}. {one.sentence}" for name, one in options_of(kind).items()]
        return "\n".join([about, "", "Args:", *said, "", f"Raises:{rest}"])


def named_keywords(kind: type[Kind]) -> type[Kind]:
    """Make a dataclass suggest the nearest option if a keyword is unknown."""
    make, known = kind.__init__, [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]

    @functools.wraps(make)
    def checked(self: Kind, *args: Any, **given: Any) -> None:
        check_keywords(f"{kind.__name__}()", given, known)
        make(self, *args, **given)

    kind.__init__ = checked  # type: ignore[method-assign, assignment]
    return kind


def sentences_of(kind: type) -> dict[str, str]:
    """Return the docstrings under the fields of a class, each as one line."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):  # a class without a source file
        return {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found = {}
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(sentence))):
                found[name] = " ".join(sentence.split())
    return found


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


def _parts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alternatives of a JSON schema."""
    return [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]


def _choices(schema: dict[str, Any]) -> list[Any]:
    """Return the values that a JSON schema lists."""
    if schema.get("type") == "boolean":
        return [True, False]
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _names(schema: dict[str, Any]) -> Iterator[str]:
    """Yield all strings that a JSON schema allows by name."""
    for part in _parts(schema):
        yield from (name for name in _choices(part) if isinstance(name, str))
        if "items" in part:
            yield from _names(part["items"])


def _words(schema: dict[str, Any], ending: str = "") -> str:
    """Say what a JSON schema accepts; ``ending`` "s" for several."""
    words = list[str]()
    for part in _parts(schema):
        if listed := _choices(part):
            words += [str(one).lower() if isinstance(one, bool) else f'"{one}"' for one in listed]
        elif part.get("type") == "array":
            size = _size(part.get("minItems", 0), part.get("maxItems"))
            words.append(f"{'' if ending else 'a '}list{ending} of {size}{_words(part['items'], 's')}")
        elif part.get("type") in ("number", "integer"):
            whole = "whole " if part["type"] == "integer" else ""
            words.append(f"{'' if ending else 'a '}{whole}number{ending}{_limits(part)}")
        else:
            words.append("text" if part.get("type") == "string" else "a table of keys and values")
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
