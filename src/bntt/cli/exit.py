"""``bntt exit``: after how many steps a trained network may stop."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from bntt.cli.opening import Split

if TYPE_CHECKING:
    from bntt.analysis import Choice
    from bntt.analysis.energy.operations import Synaptic
    from bntt.runs.measures.exits import Asked, ExitResult
    from bntt.runs.measures.sample_exits import SampleExitResult
    from bntt.runs.open_run import LoadedRun


def exit_early(
    run: tyro.conf.Positional[Path],
    loss: float = 0.5,
    threshold: float | None = None,
    per_sample: bool = False,
    split: Split = "test",
    choose_on: Literal["validation", "test"] = "validation",
    draws: int | None = None,
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Read from γ after how many steps a network may stop, and say what that costs beside plain truncation.

    The highest threshold of mean |γ| that loses no more than --loss on validation is chosen, kept as exit.json with the
    run, and used by bntt evaluate RUN --exit. With --per-sample each image stops when the network is sure of it
    (confidence, margin or entropy of its logits so far), and nothing is kept for bntt evaluate.

    Example: bntt exit runs/fashion-mnist --loss 0.5

    Args:
        run: the run directory.
        loss: the points of accuracy, in percent, that an early exit may cost on validation.
        threshold: use this threshold of mean |γ| instead of choosing one; the paper's is 0.1.
        per_sample: each image by itself.
        split: where the exit is measured.
        choose_on: where it is chosen; test is refused.
        draws: repetitions with fresh noise; as many as the recipe says.
        device: cpu, or cuda.
        json: print the numbers as JSON.
        csv: print the grid as comma-separated values.
    """
    from bntt.cli import opening
    from bntt.runs.measures.evaluate import draws_of
    from bntt.runs.measures.exits import Asked
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import RecipeError

    if wrong := _refusal(loss, threshold, draws, choose_on, per_sample=per_sample):
        raise RecipeError(wrong)
    require_device(device)
    loaded = opening.opened(run, device, as_json=json, as_csv=csv)
    asked = Asked(loss / 100, split, draws_of(loaded.recipe, draws))
    if per_sample:
        _per_sample(loaded, asked, json=json, csv=csv)
    else:
        _by_gamma(loaded, asked, threshold, json=json, csv=csv)


def _refusal(loss: float, threshold: float | None, draws: int | None, choose_on: str, *, per_sample: bool) -> str:
    if choose_on == "test":
        return (
            "--choose-on test: what is chosen on the test split is not measured by it: choose on validation; the whole "
            "grid is printed for both splits, so that anybody can see what another choice would have given"
        )
    if not 0 <= loss <= 100:
        return f"--loss must be from 0 to 100 points, got {loss}"
    if threshold is not None and not 0 <= threshold < float("inf"):
        return f"--threshold must be 0 or above, in units of γ, got {threshold}"
    if threshold is not None and per_sample:
        return "--threshold is of γ, and --per-sample reads no γ: leave one of them away"
    if draws is not None and draws < 1:
        return f"--draws must be 1 or more, got {draws}"
    return ""


def _by_gamma(loaded: LoadedRun, asked: Asked, threshold: float | None, *, json: bool, csv: bool) -> None:
    from bntt.analysis import NoGammaError
    from bntt.cli import console, opening, streams
    from bntt.runs.directory import RunDirectory
    from bntt.runs.figures.exit_figure import save_exit
    from bntt.runs.measures.exits import STEM, exit_json, exit_rows, exit_run
    from bntt.runs.recipe.file import RecipeError

    images = sum(len(loaded.loader(split).places) for split in {"validation", asked.split})
    with console.progress("measuring", images * asked.draws) as advance, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            result = exit_run(loaded, asked, threshold=threshold, progress=advance)
        except NoGammaError as error:
            raise RecipeError(f"{loaded.path}: {error}; --per-sample needs no γ either") from None
    for warning in told:
        streams.complain(f"warning: {warning.message}")
    values = exit_json(result, loaded)
    if opening.told(values, exit_rows(result), as_json=json, as_csv=csv):
        _show(result)
    kept = RunDirectory(loaded.path).keep(STEM, values)
    save_exit(result, kept.with_suffix(".png"))
    if not (json or csv):
        console.line(f"written: {kept} and .png; bntt evaluate {loaded.path} --exit stops there")


def _show(result: ExitResult) -> None:
    from bntt.cli import console
    from bntt.runs.measures.exits import threshold_told

    steps, reported = len(result.validation.over_time), result.reported.over_time
    threshold = threshold_told(result.chosen.threshold, stated=result.stated)
    how = "as stated" if result.stated else f"loses at most {100 * result.asked.loss:g} points on validation"
    console.line(f"stop after {result.chosen.steps} of {steps} steps: threshold {threshold} of mean |γ|, {how}")

    def row(name: str, choice: Choice | None, *, stated: bool = False) -> tuple[str, ...]:
        if choice is None:
            return (name, "none keeps the loss", *[""] * (len(heads) - 2))
        after = reported[choice.steps - 1]
        shown = [f"{choice.accuracy:.1%}", f"{after:.1%}"][: len(splits)]
        lost = f"{100 * (reported[-1] - after):+.2f}"
        return (name, threshold_told(choice.threshold, stated=stated), str(choice.steps), *shown, lost)

    splits = list(dict.fromkeys(("validation", result.asked.split)))
    heads = ("", "threshold", "steps", *splits, "points lost")
    names = {"magnitude": "mean |γ|", "signed": "mean γ (the paper's words)", "relative": "mean |γ|/σ̄, in units of γ"}
    rows = [row(names[reading], choice) for reading, choice in result.by_reading.items()]
    rows += [row("truncation, without γ", result.truncation), row("the paper's threshold", result.paper)]
    if result.stated:
        rows.insert(0, row("as stated", result.chosen, stated=True))
    console.columns("where to stop", heads, rows)
    accuracies = {
        name: [f"{share:.1%}" for share in found.over_time]
        for name, found in (("validation", result.validation), (result.asked.split, result.reported))
    }
    console.table("accuracy if stopped after step", steps, accuracies)
    console.gamma(result.profile, steps)
    console.numbers("mean σ̄ at step", steps, result.profile.where_driven("deviation"))


def _per_sample(loaded: LoadedRun, asked: Asked, *, json: bool, csv: bool) -> None:
    from bntt.cli import console, opening
    from bntt.runs.directory import RunDirectory
    from bntt.runs.figures.exit_figure import save_sample_exit
    from bntt.runs.measures.sample_exits import PASSES, sample_exit_json, sample_exit_rows, sample_exit_run

    images = len(loaded.loader("validation").places) + PASSES * len(loaded.loader(asked.split).places)
    with console.progress("measuring", images * asked.draws) as advance:
        result = sample_exit_run(loaded, asked, progress=advance)
    values = sample_exit_json(result)
    if opening.told(values, sample_exit_rows(result), as_json=json, as_csv=csv):
        _show_samples(result)
    kept = RunDirectory(loaded.path).keep("exit-per-sample", values)
    save_sample_exit(result, kept.with_suffix(".png"))
    if not (json or csv):
        console.line(f"written: {kept} and .png")


def _millions(work: Synaptic) -> str:
    """Synaptic operations of an image, additions and multiply-accumulates alike."""
    return f"{(work.additions + work.macs) / 1e6:.2f}M"


def _show_samples(result: SampleExitResult) -> None:
    from bntt.cli import console

    steps = len(result.truncated.over_time)
    console.line(
        f"all {steps} steps: {result.asked.split} accuracy {result.truncated.mean:.1%}, {result.whole_seconds:.1f} s; "
        f"an image may leave where that costs at most {100 * result.asked.loss:g} points on validation"
    )
    rows = []
    heads = ("by", "at", "right", "steps", "synops", "time", "alike", "right", "synops", "time")
    for criterion, choice in result.choices.items():
        exits, alike = result.exits[criterion], result.alike[criterion].steps
        rows.append(
            (
                criterion,
                f"{choice.threshold:.3g}",
                f"{exits.accuracy:.1%}",
                f"{exits.mean_steps:.2f}",
                _millions(result.operations[criterion].synaptic()),
                f"{result.seconds[criterion]:.1f} s",
                str(alike),
                f"{result.truncated.over_time[alike - 1]:.1%}",
                _millions(result.whole_operations.synaptic(alike)),
                f"{result.alike_seconds[alike]:.1f} s",
            )
        )
    console.columns(
        "each image by itself, beside all alike at no less accuracy on validation, or the most", heads, rows
    )
    shares: dict[str, list[str]] = {
        c: [f"{share:.1%}" for share in exits.distribution] for c, exits in result.exits.items()
    }
    console.table("images that leave after step", steps, shares)
