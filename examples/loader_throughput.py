"""Images per second of crop + flip: `bntt.data.SampleLoader` beside torchvision's transforms in a DataLoader.

    python examples/loader_throughput.py [--images 20000] [--rounds 5]

torchvision is not a dependency of bntt: install it to run this. Made images of CIFAR's shape; one thread; batches of
64; the four ways take turns, and the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.functional import to_pil_image

from bntt.data import ImageSet, SampleLoader, synthetic

TRANSFORM = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]


class Transformed(Dataset):
    """What a user of torchvision writes: one image at a time, each with its own crop and flip."""

    def __init__(self, data: ImageSet, pil: bool) -> None:
        self.images = [to_pil_image(image) for image in data.images] if pil else data.images
        self.labels = data.labels.tolist()
        self.transform = v2.Compose([*TRANSFORM, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def seconds(batches: Iterable[object]) -> float:
    began = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = synthetic(train=options.images, test=10).train
    loader = SampleLoader(data, 64, shuffle=True, augment=["crop", "flip"])
    tensors, pictures = Transformed(data, pil=False), Transformed(data, pil=True)
    ways: dict[str, Callable[[int], Iterable[object]]] = {
        "bntt.data.SampleLoader": loader.epoch,
        "torchvision on tensors, 0 workers": lambda draw: DataLoader(tensors, 64, shuffle=True),
        "torchvision on PIL images, 0 workers": lambda draw: DataLoader(pictures, 64, shuffle=True),
        "torchvision on PIL images, 2 workers": lambda draw: DataLoader(pictures, 64, shuffle=True, num_workers=2),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for draw in range(options.rounds + 1):
        for name, epoch in ways.items():
            elapsed = seconds(epoch(draw))
            if draw:  # the first round warms up
                taken[name].append(elapsed)
    for name, rounds in taken.items():
        print(f"{name:38} {options.images / statistics.median(rounds):9,.0f} images/s")


if __name__ == "__main__":
    main()
