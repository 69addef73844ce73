"""The largest batch for a limit: found along a line that bends, and as real updates of a small network need it."""

import math
import re

import pytest

from bntt.runs.recipe.build import build_data
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training import estimate
from bntt.runs.training.estimate import bytes_of, largest_batch, propose_batch
from tests.rows import each_row

STRAIGHT, FLAT, STEEP = "straight", "flat at first", "killed above 300"


def peaks(kind, tried):
    def peak_of(size):
        tried.append(size)
        updates = {STRAIGHT: 100 + 3 * size, FLAT: 100 + 5 * max(size, 40), STEEP: 100 + size}[kind]
        updates = math.inf if kind == STEEP and size > 300 else updates
        return updates, max(updates, 110)

    return peak_of


@pytest.mark.parametrize("kind", [STRAIGHT, FLAT, STEEP])
def test_the_largest_fits_a_larger_does_not_and_more_memory_takes_more(kind):
    last = 0
    for limit in (330, 500, 1_000, 5_000, 10_000):
        tried = []
        size, peak = largest_batch(peaks(kind, tried), limit, smallest=1, most=900)
        assert size >= last
        assert kind != STRAIGHT or max(tried) <= (limit - 100) / 3, "what the line does not allow"
        assert peaks(kind, [])(size)[1] == peak <= limit
        larger = math.ceil(size * (1 + estimate.NEAR)) + 1
        assert size == 900 or peaks(kind, [])(larger)[1] > limit
        assert len(tried) < 16
        last = size
    assert 294 <= last <= 300 if kind == STEEP else last == 900


@each_row("text", ["", "8 apples", "0", "-1GiB", "1e9", "8i", "8ib"])
def test_a_limit_is_a_number_of_bytes(text):
    with pytest.raises(RecipeError, match="--fit-batch"):
        bytes_of(text)


SMALL = ["network.width=0.125", "network.num_steps=8", "evaluate.batch_size=10"]


@pytest.mark.slow
def test_the_proposed_batch_fits_and_twice_it_does_not():
    recipe = load_recipe("demo", SMALL)
    data, (_, least) = build_data(recipe), estimate._peaks_apart(estimate._with_batch(recipe, 2), "cpu")
    limit = least + (24 << 20)
    found = propose_batch(recipe, data, limit)
    size = int(re.match(r"-s train\.batch_size=(\d+) \(memory peaks at [\d,]+ MiB\); train\.lr stays 0\.3", found)[1])
    assert 2 < size < len(data.train) / 2
    (_, fits), (_, twice) = (estimate._peaks_apart(estimate._with_batch(recipe, n), "cpu") for n in (size, 2 * size))
    assert fits <= limit * 1.02
    assert limit < twice


def test_an_odd_number_of_samples_is_not_split_into_one_image(monkeypatch):
    tried = []
    monkeypatch.setattr(
        estimate, "largest_batch", lambda peak, limit, smallest, most: tried.append(smallest) or (9, 1.0)
    )
    for images, least in ((500, 2), (501, 3)):
        recipe = load_recipe("demo", [*SMALL, f"data.images={images}"])
        data = build_data(recipe)
        propose_batch(recipe, data, 1.0)
        assert tried.pop() == least == 2 + len(data.train) % 2


def test_a_limit_that_is_too_small_or_not_known(monkeypatch):
    with pytest.raises(MemoryError, match="a batch of 2"):
        largest_batch(peaks(STRAIGHT, []), 100, smallest=2, most=900)
    monkeypatch.setattr(estimate, "available_memory", lambda device: math.inf)  # as on macOS
    recipe = load_recipe("demo", SMALL)
    with pytest.raises(RecipeError, match="--fit-batch"):
        propose_batch(recipe, build_data(recipe))
