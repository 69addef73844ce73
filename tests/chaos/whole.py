"""Every stop against a run that was left alone."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple

from tests.chaos.child import finished
from tests.chaos.outcome import outcome
from tests.chaos.stops import CODES, PLACES, STRIKES, Place, strikes_at

SMALL = """
data = { name = "fashion-mnist-bundled", augment = ["flip"], validation = 0.2 }
network = { name = "mlp", num_steps = 2 }
train = { epochs = 2, batch_size = 400, WAY }
evaluate = { draws = 1, batch_size = 500 }
checkpoint = { every_steps = 4, every_minutes = 1e6, last = 1 }
"""
WAYS = {
    "the paper's": "lr = 0.3",
    "adamw with amsgrad, averaged": 'optimizer = "adamw", lr = 0.01, amsgrad = true, average = 0.9',
    "one-cycle, clipped, smoothed": 'schedule = "one-cycle", clip_norm = 1.0, label_smoothing = 0.1',
    "adam, TET, cosine by step, warm-up": 'optimizer = "adam", lr = 0.01, loss = "tet", schedule = "cosine", '
    'lr_every = "step", warmup = 0.5',
}


def stops(folder: Path, ways: int, places: str) -> int:
    """Try every one; says what went wrong, and how many did. The number of those that did."""
    wrong = tried = 0
    began = time.monotonic()
    for way, words in list(WAYS.items())[:ways]:
        recipe = folder / "run.toml"
        recipe.write_text(SMALL.replace("WAY", words), encoding="utf-8")
        train = ["train", str(recipe), "--root", str(folder)]
        shutil.rmtree(folder / "run", ignore_errors=True)
        assert finished(train, folder / "log") == 0, (folder / "log").read_text()
        expected = outcome(folder / "run")
        for place in PLACES:
            for strike in strikes_at(place) if places in place.name else ():
                found = stopped(folder, train, place, strike, expected)
                tried += 1
                wrong += bool(found)
                if found:
                    print(f"{way}: {strike} at {place.name}: {found}", flush=True)
        print(f"{way}: {tried} tried, {wrong} wrong, {time.monotonic() - began:.0f} s", flush=True)
    return wrong


class Struck(NamedTuple):
    """What came of a strike."""

    wrong: str
    """"" where the process ended as it may."""
    seconds: float
    """From the strike to the end of the process."""


def stopped(folder: Path, train: list[str], place: Place, strike: str, expected: dict[str, str]) -> str:
    """What is wrong with a run that is stopped there and goes on; "" if nothing is."""
    return struck_at(folder, train, place, strike).wrong or goes_on(folder, train, place, expected)


def struck_at(folder: Path, train: list[str], place: Place, strike: str) -> Struck:
    """Begin a run anew and let the strike come there."""
    log, struck = folder / "log", folder / "struck"
    shutil.rmtree(folder / "run", ignore_errors=True)
    for old in (log, struck):
        old.unlink(missing_ok=True)

    def strikes() -> None:
        struck.write_text(str(time.monotonic()), encoding="utf-8")
        STRIKES[strike]()

    code = finished(train, log, lambda: place.trap(strikes))
    if not struck.exists():
        return Struck("it never came there", 0.0)
    seconds = time.monotonic() - float(struck.read_text(encoding="utf-8"))
    if code not in CODES[strike]:
        return Struck(f"ended with {code}: {log.read_text()[-500:]}", seconds)
    return Struck(f"a traceback: {log.read_text()[-800:]}" if "Traceback" in log.read_text() else "", seconds)


def goes_on(folder: Path, train: list[str], place: Place, expected: dict[str, str]) -> str:
    """Take it up again; what is wrong with how it ends."""
    log, directory = folder / "log", folder / "run"
    again = finished(["train", str(directory), "--resume"], log)
    if again == 4 and not place.keeps:
        shutil.rmtree(directory, ignore_errors=True)  # nothing was kept yet: begin again
        again = finished(train, log)
    if again:
        return f"does not go on, {again}: {log.read_text()[-500:]}"
    differs = [name for name, digest in outcome(directory).items() if digest != expected[name]]
    return f"other bits in {', '.join(differs)}" if differs else ""
