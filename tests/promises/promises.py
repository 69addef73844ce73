"""Every promise, in the order of the page."""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from tests.promises import archives, damage, evaluations, numbers, source, stops, trainings, writes
from tests.promises.promise import Measured, Promise

GROUPS = {"R": "Reliability", "S": "Security", "N": "Numbers", "T": "Evaluation"}
ASKED = [*(f"R{n}" for n in range(1, 12)), *(f"S{n}" for n in range(1, 8)), *(f"N{n}" for n in range(5, 11))]
ASKED += ["T2", "T3", "T4"]
"""The list's names that have a row."""


def _order(promise: Promise) -> tuple[int, int]:
    letter, number = re.fullmatch(r"([A-Z])(\d+)", promise.name).groups()  # type: ignore[union-attr]
    return list(GROUPS).index(letter), int(number)


ROOMS = (stops, trainings, damage, source, archives, writes, numbers, evaluations)
PROMISES = sorted((promise for room in ROOMS for promise in room.PROMISES), key=_order)
BY_NAME = {promise.name: promise for promise in PROMISES}


def apart(name: str) -> Measured:
    """Measured in a process of its own: memory, open files and audit hooks of one are nothing to the next."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measured, name).result()


def measured(name: str) -> Measured:
    """On one thread."""
    torch.set_num_threads(1)
    return BY_NAME[name].measured()
