"""Declarations of measurements: each folder of ``analysis`` declares one, and all other code reads the declaration.

Neither this file nor a declaration imports torch: a measuring function imports its computation when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Le

from bntt.analysis.result import ArgumentError as ArgumentError
from bntt.analysis.result import Result

if TYPE_CHECKING:
    from bntt.nn import NormFacts

Split = Literal["test", "validation"]
"""Split to measure: the test split, or the samples held out of the training split."""

MOST_DRAWS = 1000
"""Largest number of draws in a flag or a recipe: their mean has a thirtieth of the error of one draw."""
Draws = Annotated[int, Ge(1), Le(MOST_DRAWS)]
"""Number of draws, each with fresh noise."""


class InvalidResultError(RuntimeError):
    """A result whose numbers are worthless; the message gives the reason."""


@dataclass(frozen=True)
class Facts:
    """Facts about a run that are known without opening its weights."""

    network: str
    norm: str
    encoder: str
    num_steps: int
    is_ann: bool
    draws: int
    """Repetitions with fresh noise that its recipe asks for; 1 if nothing is random."""
    is_random: bool
    """True if its encoder draws numbers, so that every pass differs."""

    @property
    def norm_facts(self) -> NormFacts:
        """Facts about its norm; the most permissive if it has no name, as in a custom network with several norms."""
        from bntt.nn.kinds import NormFacts, norm_facts_by_name

        if not self.norm:  # the network says what it lacks when it is measured
            return NormFacts(step_gamma=True, batch_statistics=True, running_statistics=True)
        return norm_facts_by_name(self.norm)


Opened: TypeAlias = Any
"""A trained run, :class:`~bntt.runs.open_run.LoadedRun`: its model, its recipe's facts, and the samples of its data."""


class Progress:
    """Progress of a measurement: ``expect`` announces work to come, a call reports work done, ``skip`` work saved."""

    def __init__(self, report: Callable[[int, int], None] = lambda done, total: None) -> None:
        self.report, self.done, self.total, self.skipped_over = report, 0, 0, 0

    def expect(self, samples: int) -> None:
        """Add passes of samples that will be made."""
        self.total += samples

    def __call__(self, samples: int) -> None:
        self.done += samples
        self.report(self.done - self.skipped_over, max(self.done, self.total) - self.skipped_over)

    def skip(self, samples: int) -> None:
        """Count work that need not be done, since it was saved or a failure ended it; only the rest is reported."""
        self.skipped_over += samples
        Progress.__call__(self, samples)


Measure: TypeAlias = Callable[[Any, Any, Progress], Result]


@dataclass(frozen=True, eq=False)
class Measurement:
    """One kind of measurement of trained runs."""

    name: str
    """Name of the command, and prefix of the file's name unless ``file`` gives another."""
    help: str
    """Description in one line; more lines are shown by ``--help``."""
    arguments: type
    """A frozen dataclass: its fields are the flags, with defaults, bounds (``Annotated[int, Ge(1)]``) and help."""
    record: type[Result]
    """Class of the result."""
    measure: Measure
    """Function that measures a run, a sequence of runs, or a recipe."""
    opens: Literal["run", "recipe"] = "run"
    """What it opens: a trained run, or a recipe that it trains itself."""
    several: bool = False
    """True if it takes several runs, and writes into the first one's directory."""
    second: str = ""
    """Purpose of a second run, the help of ``--from``; "" if it takes none."""
    draws_noise: bool = False
    """True if each draw has fresh noise with any encoder; otherwise only an encoder's spikes are random."""
    needs_spikes: bool = True
    """True if it refuses an ANN, which has one step and no spikes."""
    refuses: Callable[[Facts, Any], str] = lambda facts, arguments: ""
    """Reason why a run cannot be measured with these arguments; "" if it can."""
    chooses: Callable[[Any], bool] = lambda arguments: False
    """True if it chooses something on validation, which is then not measured there."""
    variant: Callable[[Any], str] = lambda arguments: ""
    """Part of the file's name after name and split, for arguments whose numbers are kept side by side."""
    variants: Mapping[str, tuple[type[Result], Measure]] = field(default_factory=dict)
    """Record and measure of each variant that has its own."""
    files_by_split: bool = True
    """True if a split other than the default gets its own files."""
    file: str = ""
    """Prefix of the file's name if it is not the command's."""

    def stem(self, arguments: Any) -> str:
        """Return the common stem of its files' names."""
        split = getattr(arguments, "split", "") if self.files_by_split else ""
        other = "" if split == getattr(self.arguments, "split", "") else split
        return "-".join(part for part in (self.file or self.name, self.variant(arguments), other) if part)

    def record_in(self, stem: str) -> type[Result]:
        """Return the record that a file of this name holds."""
        begins, name = f"{stem}-", self.file or self.name
        found = (own for variant, (own, _) in self.variants.items() if begins.startswith(f"{name}-{variant}-"))
        return next(found, self.record)

    def refusal(self, facts: Facts, arguments: Any) -> str:
        """Return the reason why a run cannot be measured with these arguments; "" if it can."""
        if self.needs_spikes and facts.is_ann:
            return "an ANN has one step and no spikes"
        return self.refuses(facts, arguments)


def origin(opened: Opened, arguments: Any) -> dict[str, Any]:
    """Collect the fields of every result that identify the target and the arguments of the measurement."""
    return {"arguments": arguments, "dataset": opened.dataset, "split": arguments.split, "epoch": opened.epoch}


def draws_of(facts: Facts, draws: int | None) -> int:
    """Choose the number of repetitions with fresh noise: as given, or as the recipe says."""
    if not facts.is_random:
        refuse_repeats("draws", draws, f"{facts.encoder} coding is not random (encoder.name = {facts.encoder!r})")
    return draws or facts.draws


def refuse_repeats(flag: str, times: int | None, why: str) -> None:
    """Refuse to repeat what is not random."""
    if (times or 1) > 1:
        raise ArgumentError(f"--{flag} {times}: {why}, every pass would be the same: leave out --{flag}")


def check_same_images(opened: Sequence[Opened], split: Split, places: Any) -> None:
    """Refuse runs whose images of a split are not those of the first."""
    first, *others = opened
    for other in others:
        if not first.has_same_images(other, split, places):
            raise ArgumentError(
                f"{other.path} has other {split} images than {first.path}: compare runs of one dataset; validation "
                f"images also differ with the recipe's seed, those of --split test do not"
            )


def run_names(opened: Sequence[Opened]) -> list[str]:
    """Name each of several runs, none of them twice: by its directory's name if all names differ, else by its path."""
    places = [one.path.resolve() for one in opened]
    if twice := next((place for i, place in enumerate(places) if place in places[:i]), None):
        raise ArgumentError(f"{twice} is given twice: name each run once")
    short = [place.name for place in places]
    return short if len(set(short)) == len(short) else [str(one.path) for one in opened]
