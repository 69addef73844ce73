"""Train a network with BNTT, measure it, choose when it may stop, and export it for machines without PyTorch.

    python examples/train_and_evaluate.py                        # Fashion-MNIST, a minute or two on one core
    python examples/train_and_evaluate.py --directory runs/mine  # the same call resumes it; every verb reads it
    python examples/train_and_evaluate.py --images my/images     # train/<class>/<picture> and test/<class>/<picture>

Validation images choose the epoch and the step to stop at; the test images are measured at the end, once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import bntt
from bntt import analysis, data, deploy


def main() -> None:
    options = arguments()
    published, test = data.open_dataset("images", options.images)[0] if options.images else data.fashion_mnist_bundled()
    if options.most:  # a subset, stratified by class
        published = published.select(data.stratified(published, min(options.most, len(published)), seed=0))
        test = test.select(data.stratified(test, min(options.most, len(test)), seed=0))
    train, held_out, _ = data.split_validation(published, max(1, len(published) // 10), seed=options.seed)
    validation, shown = data.SampleLoader(held_out, 250), data.SampleLoader(test, 250)

    model = build(train, options)
    loader = data.SampleLoader(train, options.batch_size, shuffle=True, augment=["flip"], seed=options.seed)
    method = bntt.Method(lr=options.lr, gamma_decay=options.gamma_decay)
    history = bntt.fit(
        model,
        loader,
        epochs=options.epochs,
        validation=validation,
        test=shown if options.directory else None,  # the run stores them for the verbs
        directory=options.directory,
        method=method,
        seed=options.seed,
    )
    for epoch in history.epochs:
        print(f"epoch {epoch.epoch + 1}: loss {epoch.train_loss:.3f}, validation {epoch.validation_accuracy:.1%}")

    found = analysis.evaluate(model, shown, draws=options.draws)
    low, high = found.accuracy.interval
    print(f"test: {found.accuracy.mean:.1%} ({low:.1%} to {high:.1%}, Wilson's 95 % interval over images)")
    print(f"spikes per image: {found.activity.spikes_per_sample():,.0f}")
    stop = choose_stop(model, validation)
    early = analysis.evaluate(model, shown, draws=options.draws, steps=stop)
    print(f"stopped after step {stop} of {options.steps}: {early.accuracy.mean:.1%}")

    if options.bundle:
        pictures = deploy.Pictures(tuple(test.images.shape[1:]))
        deploy.export(model, options.bundle, "bundle", classes=test.classes, pictures=pictures)
        print(f"wrote {options.bundle}: python -m bntt_runtime {options.bundle} PICTURE...")


def build(train: data.ImageSet, options: argparse.Namespace) -> bntt.SpikingClassifier:
    """Put an encoder before a network."""
    mean, std = train.pixel_statistics()
    channels, rows, _ = train.images.shape[1:]
    network = bntt.models.vgg6(
        in_channels=channels,
        image_size=rows,
        num_classes=len(train.classes),
        num_steps=options.steps,
        leak=0.95,
        norm=options.norm,
        width=options.width,
        seed=options.seed,
    )
    return bntt.SpikingClassifier(bntt.PoissonEncoder(options.steps, mean=mean, std=std), network)


def choose_stop(model: bntt.SpikingClassifier, validation: data.SampleLoader) -> int:
    """Choose the earliest step, read from γ if the norm has one, that costs at most half a point on validation."""
    over_time = analysis.evaluate(model, validation, draws=1).accuracy.over_time
    try:
        return analysis.choose_exit(analysis.gamma_profile(model.network), over_time, loss=0.005).steps
    except analysis.NoGammaError:
        return analysis.choose_truncation(over_time, loss=0.005).steps


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="a folder of your own; the bundled Fashion-MNIST otherwise")
    parser.add_argument("--most", type=int, default=0, help="at most this many images of each part; 0: all")
    parser.add_argument("--directory", help="keep the run there, and resume it")
    parser.add_argument("--bundle", type=Path, help="write the trained network there")
    parser.add_argument("--norm", default="bntt", help="any name of bntt.nn.NORMS")
    parser.add_argument("--steps", type=int, default=8, help="T")
    parser.add_argument("--width", type=float, default=0.5, help="share of VGG6's channels")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--lr", type=float, default=0.3)
    parser.add_argument("--gamma-decay", type=float, default=5e-3, help="weight decay of γ: it makes late steps silent")
    parser.add_argument("--draws", type=int, default=3, help="draws of the encoder's noise in evaluation")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
