"""The rate of every update beside that of PyTorch's own schedulers: ``python -m tests.training.warmup_table``."""

import itertools
import warnings
from functools import partial

import torch
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from bntt.training import Method
from bntt.training.schedule import Rates

EPOCHS, UPDATES = 6, 4
TOTAL = EPOCHS * UPDATES
DROPS, FACTOR = (50, 75), 0.1
WARMUPS = (0, 0.25, 0.5, 1, 1.5, 2)
"""Epochs: none, one update, a part of an epoch, one, one and a part, several."""
CASES = [
    *itertools.product(("step", "cosine", "constant"), ("epoch", "step"), WARMUPS),
    *itertools.product(("one-cycle",), ("epoch", "step"), (0,)),
]


def ours(schedule, every, warmup):
    """The rate of every update, where the method's is 1."""
    method = Method(lr=1.0, schedule=schedule, lr_every=every, warmup=warmup, lr_drops=DROPS, lr_factor=FACTOR)
    rates = Rates(method, EPOCHS, UPDATES)
    return [rates.factor(epoch, update) for epoch in range(EPOCHS) for update in range(UPDATES)]


def theirs(schedule, every, warmup):
    """The same by PyTorch's schedulers; each is stepped after every update, or after every epoch."""
    warm = round(warmup * UPDATES)
    if schedule == "one-cycle":
        return seen({"by update": partial(OneCycleLR, max_lr=1.0, total_steps=TOTAL)})
    rise = {"by update": partial(LinearLR, start_factor=1 / warm, total_iters=warm - 1)} if warm else {}
    if schedule == "constant":
        return seen(rise)
    if schedule == "step" and every == "epoch":
        drops = [EPOCHS * percent // 100 for percent in DROPS]
        return seen(rise | {"by epoch": partial(MultiStepLR, milestones=drops, gamma=FACTOR)})
    if schedule == "step":
        drops = [TOTAL * percent // 100 for percent in DROPS]
        return seen({"by update": chained(*rise.values(), partial(MultiStepLR, milestones=drops, gamma=FACTOR))})
    if every == "epoch" and warm % UPDATES == 0:
        return seen(rise | {"by epoch": partial(CosineAnnealingLR, T_max=EPOCHS - warm // UPDATES)}, wait=warm)
    descent = partial(CosineAnnealingLR, T_max=TOTAL - warm)
    by_update = seen({"by update": one_after_another(*rise.values(), descent, at=warm)})
    return by_update if every == "step" else held(by_update, warm)


def held(by_update, warm):
    """After the warm-up each epoch keeps the rate that it begins with; the rest of the warm-up's last epoch has 1."""
    begins = [update - update % UPDATES for update in range(TOTAL)]
    kept = [by_update[begin] if begin >= warm else 1.0 for begin in begins]
    return by_update[:warm] + kept[warm:]


def chained(*makes):
    return lambda optimizer: ChainedScheduler([make(optimizer) for make in makes])


def one_after_another(*makes, at):
    return lambda optimizer: SequentialLR(optimizer, [make(optimizer) for make in makes], [at] * (len(makes) - 1))


def seen(makes, wait=0):
    """The rate of every update under some schedulers; those by epoch are first stepped after ``wait`` updates."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR steps its schedulers before the first update
        schedulers = {when: make(optimizer) for when, make in makes.items()}
    rates = []
    for done in range(1, TOTAL + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if "by update" in schedulers and done < TOTAL:
            schedulers["by update"].step()
        if "by epoch" in schedulers and done % UPDATES == 0 and done > wait:
            schedulers["by epoch"].step()
    return rates


def main():
    print(f"{EPOCHS} epochs of {UPDATES} updates, rate 1; drops at {DROPS} %, each to {FACTOR} of the rate")
    largest = 0.0
    for case in CASES:
        rows = {"ours": ours(*case), "PyTorch": theirs(*case)}
        apart = max(abs(one - other) for one, other in zip(*rows.values(), strict=True))
        largest = max(largest, apart)
        print("\nschedule {}, lr_every {}, warmup {}".format(*case), f"(largest difference {apart:.1e})")
        for name, rates in rows.items():
            print(f"  {name:8}", " ".join(f"{rate:.4f}" for rate in rates))
    print(f"\nlargest difference of all: {largest:.1e}")


if __name__ == "__main__":
    main()
