"""Train with Lightning's Trainer, callbacks and loggers, by the same updates as ``bntt.fit``.

    pip install lightning
    python examples/lightning_training.py [--epochs 5]

Early exit, export and every measurement work on the trained model, as on any other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import bntt
from bntt import analysis, data
from bntt.interop.lightning import Data, Module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="T")
    parser.add_argument("--width", type=float, default=0.5, help="share of VGG6's channels")
    parser.add_argument("--most", type=int, default=4500, help="at most this many training images")
    parser.add_argument("--directory", type=Path, default=Path("runs/lightning"))
    options = parser.parse_args()

    published, test = data.fashion_mnist_bundled()
    train, held_out, _ = data.split_validation(published, 500, seed=0)
    train = train.select(torch.arange(min(options.most, len(train))))
    mean, std = train.pixel_statistics()
    network = bntt.models.vgg6(num_classes=10, num_steps=options.steps, leak=0.95, width=options.width)
    model = bntt.SpikingClassifier(bntt.PoissonEncoder(options.steps, mean=mean, std=std), network)

    module = Module(model, bntt.Method(lr=0.3))
    batches = Data(data.SampleLoader(train, 50, shuffle=True, augment=["flip"]), data.SampleLoader(held_out, 250))
    keep = ModelCheckpoint(options.directory, save_last=True)
    trainer = lightning.Trainer(
        max_epochs=options.epochs,
        default_root_dir=options.directory,
        callbacks=[keep],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, batches)

    found = analysis.evaluate(model, data.SampleLoader(test, 250), draws=2)
    profile = analysis.gamma_profile(model.network)
    print(f"test: {found.accuracy.mean:.1%}, {found.activity.spikes_per_sample():,.0f} spikes per image")
    print("γ is largest at step:", {name: 1 + (profile.peak(name) or 0) for name in profile.magnitude})
    print(f"checkpoint: {keep.last_model_path}; trainer.fit(..., ckpt_path=...) resumes it")


if __name__ == "__main__":
    main()
