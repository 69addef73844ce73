"""An epoch of events beside one of the images that they were simulated from: ``python -m tests.data.epoch_speed``.

The same VGG6 with BNTT at T = 10 on 28x28, 500 samples in batches of 50, one thread; images are Poisson-coded,
frames go in as they are. Both are trained in turn, and the seconds are those of the processor.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from bntt.data import FrameSet, SampleLoader
from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.camera import simulate
from bntt.data.images import fashion_mnist_bundled
from bntt.models import vgg6
from bntt.nn import FrameEncoder, PoissonEncoder, SpikingClassifier
from bntt.training import updates

SAMPLES, STEPS, EPOCHS = 500, 10, 6


def main() -> None:
    torch.set_num_threads(1)
    images = fashion_mnist_bundled().train.select(torch.arange(SAMPLES))
    binning = Binning(STEPS, 28, 28)
    counts = [to_frames(simulate(image, index=i)[0], binning).counts for i, image in enumerate(images.images)]
    sets = {"events": FrameSet(torch.stack(counts), images.labels, images.classes), "images": images}
    mean, std = images.pixel_statistics()
    encoders = {"events": FrameEncoder(STEPS), "images": PoissonEncoder(STEPS, mean=mean, std=std)}
    models = {
        name: SpikingClassifier(encoder, vgg6(in_channels=2 if name == "events" else 1, num_steps=STEPS))
        for name, encoder in encoders.items()
    }
    loaders = {name: SampleLoader(data, 50, shuffle=True) for name, data in sets.items()}
    runs = {name: updates(models[name], loaders[name], epochs=EPOCHS) for name in sets}
    seconds: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(EPOCHS):
        for name, records in runs.items():
            began = time.process_time()
            for record in records:
                if type(record).__name__ == "EpochRecord":
                    break
            seconds[name].append(time.process_time() - began)
    for name, found in seconds.items():
        later = found[1:]  # the first measures and allocates
        print(f"{name}: {np.median(later):.2f} s an epoch ({min(later):.2f} to {max(later):.2f} in {len(later)})")


if __name__ == "__main__":
    main()
