"""Options: fields of the library's frozen dataclasses, each with its type, range and sentence in one place.

The classes check themselves with :func:`check_options`; recipes are made of the same classes, and ``bntt show`` and
every error print the same sentence. What a type cannot say, a field says with :class:`Limits` and :class:`OneOf`::

    momentum: Annotated[float, Limits(at_least=0, below=1)] = 0.9
    \"\"\"Momentum of SGD; β₁ of Adam and AdamW.\"\"\"
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import sys
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Limits:
    """The range of a number, or of each number in a list, and its unit."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    unit: str = ""

    def allows(self, value: float) -> bool:
        """Return True if the value is finite and in the range."""
        return (
            abs(value) <= sys.float_info.max  # an integer may be too large to become a float
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def words(self) -> str:
        """Describe the range and unit.

        >>> Limits(at_least=0, below=1).words(), Limits(at_least=0, at_most=100, unit="%").words()
        ('from 0 to below 1', 'from 0 to 100 (%)')
        """
        low = f"from {self.at_least:,}" if self.at_least is not None else ""
        low = f"above {self.above:,}" if self.above is not None else low
        high = f"to {self.at_most:,}" if self.at_most is not None else ""
        high = f"{'to ' if self.at_least is not None else ''}below {self.below:,}" if self.below is not None else high
        both = f"{low}{' and' if self.above is not None else ''} {high}" if low and high else low or high
        if self.at_least is not None and not high:
            both = f"{self.at_least:,} or more"
        return f"{both} ({self.unit})" if self.unit else both


@dataclass(frozen=True)
class OneOf:
    """The allowed values of a string, looked up when it is checked."""

    names: Callable[[], Collection[str]]
    or_none: bool = False
    """True if "" is also allowed, for no name."""


@dataclass(frozen=True)
class Size:
    """The number of elements of a list."""

    at_least: int = 0
    at_most: int | None = None

    def allows(self, count: int) -> bool:
        """Return True if this number of elements is in the range."""
        return self.at_least <= count and (self.at_most is None or count <= self.at_most)

    def words(self) -> str:
        """Describe the number."""
        if self.at_most is None:
            return f"{self.at_least} or more"
        return f"{self.at_least}" if self.at_least == self.at_most else f"{self.at_least} to {self.at_most}"


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

    def accepted(self) -> str:
        """Return the accepted values, in words."""
        return _accepted(self.hint)

    def problem(self, value: object) -> str:
        """Say what is wrong with a value; "" if nothing is."""
        if _accepts(self.hint, value):
            return ""
        names, said = _names(self.hint), value if isinstance(value, list | tuple) else [value]
        near = [
            found
            for one in said
            if isinstance(one, str) and one not in names
            for found in difflib.get_close_matches(one, names, n=1)
        ]
        return f"must be {self.accepted()}, got {value!r}" + (f" (did you mean {near[0]!r}?)" if near else "")


@functools.lru_cache
def options_of(kind: type[Any]) -> dict[str, Option]:
    """Return the options of a dataclass, in the order of its fields.

    >>> from bntt.training.method import Method
    >>> options_of(Method)["momentum"].accepted()
    'a number from 0 to below 1'
    """
    hints, sentences = get_type_hints(kind, include_extras=True), dict[str, str]()
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            sentences |= sentences_of(base)
    found = {}
    for field in dataclasses.fields(kind):
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        found[field.name] = Option(field.name, hints[field.name], default, sentences.get(field.name, ""))
    return found


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


def check_options(record: Any, kind: type | None = None) -> None:
    """Refuse a dataclass with an option outside its field's type or limits; turn its lists into tuples."""
    for name, option in options_of(kind or type(record)).items():
        value = getattr(record, name)
        if problem := option.problem(value):
            raise OptionError(name, problem)
        if isinstance(value, list | tuple):
            object.__setattr__(record, name, _frozen(value))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


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


def _parts(hint: Any) -> tuple[Any, list[Any]]:
    """Return a type and its annotations."""
    return (hint.__origin__, list(hint.__metadata__)) if get_origin(hint) is Annotated else (hint, [])


def _accepts(hint: Any, value: object) -> bool:
    kind, notes = _parts(hint)
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        fits = any(_accepts(one, value) for one in get_args(kind))
    elif origin is Literal:
        fits = any(value == one and type(value) is type(one) for one in get_args(kind))
    elif kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif isinstance(origin, type) and issubclass(origin, Sequence):
        fits = isinstance(value, list | tuple) and all(_accepts(get_args(kind)[0], one) for one in value)
    elif isinstance(kind, type) and not getattr(kind, "_is_protocol", False):
        fits = isinstance(value, kind)
    else:
        fits = callable(value)
    return fits and all(_allows(note, value) for note in notes)


def _allows(note: object, value: Any) -> bool:
    if isinstance(note, Limits) and isinstance(value, int | float):
        return note.allows(value)
    if isinstance(note, OneOf) and isinstance(value, str):
        return value in note.names() or (note.or_none and not value)
    if isinstance(note, Size):
        return note.allows(len(value))
    return True


def _accepted(hint: Any, *, many: bool = False) -> str:
    kind, notes = _parts(hint)
    origin = get_origin(kind)
    if words := _words(hint):
        return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        sizes = [note.words() for note in notes if isinstance(note, Size)]
        whole = ["lists" if many else "a list", "of", *sizes, _accepted(get_args(kind)[0], many=True)]
        return " ".join(filter(None, whole))
    if kind not in (int, float):
        return (
            "text" if kind is str else "a table of keys and values" if dataclasses.is_dataclass(kind) else "a function"
        )
    number = "whole number" if kind is int else "number"
    limits = " ".join(note.words() for note in notes if isinstance(note, Limits))
    between = ", " if "or more" in limits else " " if limits else ""
    return f"{f'{number}s' if many else f'a {number}'}{between}{limits}"


def _words(hint: Any) -> list[str]:
    """Return the values of a type that allows only certain ones, as a recipe spells them; [] for other types."""
    kind, notes = _parts(hint)
    origin = get_origin(kind)
    if named := [note for note in notes if isinstance(note, OneOf)]:
        return [f'"{name}"' for note in named for name in [*note.names(), *([""] if note.or_none else [])]]
    if origin in (Union, UnionType):
        return [word for one in get_args(kind) if one is not NoneType for word in _words(one) or [_accepted(one)]]
    if origin is Literal:
        return [f'"{one}"' for one in get_args(kind)]
    return ["true", "false"] if kind is bool else []


def _names(hint: Any) -> list[str]:
    """Return all strings that a type allows by name."""
    kind, notes = _parts(hint)
    found = [name for note in notes if isinstance(note, OneOf) for name in note.names()]
    if get_origin(kind) is Literal:
        return found + [one for one in get_args(kind) if isinstance(one, str)]
    return found + [name for one in get_args(kind) if not isinstance(one, str) for name in _names(one)]
