"""Train on recordings of an event camera, from files to frames to a network; measure what the order of events is worth.

    python examples/events.py --recordings my/recordings --format aedat4
    python examples/events.py                    # a simulated camera records bundled images first

The folder has one sub-folder of recordings per class. About a tenth of them, chosen only by file name, is kept for the
test and never trained on. Results on simulated recordings cannot be compared with results on a camera's.
"""

from __future__ import annotations

import argparse
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import torch

import bntt
from bntt import analysis, data

READERS: dict[str, tuple[str, Callable[[Path], data.Events]]] = {
    "aedat2": ("*.aedat", data.read_aedat2),
    "aedat4": ("*.aedat4", data.read_aedat4),
    "nmnist": ("*.bin", data.read_nmnist),
}
"""Pattern of file names, and reader, of each format."""


def main() -> None:
    options = arguments()
    folder, form = options.recordings, options.format
    if folder is None:
        folder, form = Path(tempfile.mkdtemp()) / "recordings", "aedat2"
        images = data.fashion_mnist_bundled().train
        data.simulate_set(images, folder, name="fashion-mnist-bundled", count=options.simulate)
        print(f"simulated {options.simulate} recordings in {folder}")
    train, test = read(folder, form, options)
    print(f"{len(train)} recordings to train on, {len(test)} to test, {list(train.frames.shape[1:])} each")

    network = bntt.models.vgg6(
        in_channels=2,
        image_size=options.size,
        num_classes=len(train.classes),
        num_steps=options.steps,
        leak=0.95,
        norm=options.norm,
        width=options.width,
        seed=options.seed,
    )
    model = bntt.SpikingClassifier(bntt.FrameEncoder(options.steps), network)
    augment = ["shift"] if options.recordings else ["flip", "shift"]  # a mirror may change the class of a gesture
    loader = data.SampleLoader(train, options.batch_size, shuffle=True, augment=augment, seed=options.seed)
    bntt.fit(model, loader, epochs=options.epochs, method=bntt.Method(lr=options.lr), seed=options.seed)

    whole = test.frames.float() if test.rows is None else test.frames[test.rows].float()
    frames = {
        "as recorded": whole,
        "steps in reverse": whole.flip(1),
        "every step the mean": whole.mean(1, keepdim=True).expand_as(whole).contiguous(),
    }
    for name, changed in frames.items():
        shown = data.FrameSet(changed, test.labels, test.classes)
        found = analysis.evaluate(model, data.SampleLoader(shown, 100), draws=1)
        low, high = found.accuracy.interval
        spikes = found.activity.spikes_per_sample()
        print(f"{name:20} {found.accuracy.mean:.1%} ({low:.1%} to {high:.1%}), {spikes:,.0f} spikes per recording")


def read(folder: Path, form: str, options: argparse.Namespace) -> tuple[data.FrameSet, data.FrameSet]:
    """Read every recording and count its events in frames; return training and test part."""
    pattern, reader = READERS[form]
    binning = data.Binning(options.steps, options.size, options.size, by=options.by)
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    parts: dict[bool, tuple[list[torch.Tensor], list[int]]] = {False: ([], []), True: ([], [])}
    for label, name in enumerate(classes):
        paths = sorted((folder / name).glob(pattern))
        if not paths:
            raise SystemExit(f"{folder / name} has no {pattern}: choose the format of its recordings (--format)")
        for path in paths:
            frames, labels = parts[zlib.crc32(path.name.encode()) % 10 == 0]
            frames.append(data.to_frames(reader(path), binning).counts)
            labels.append(label)
    if not parts[True][0]:
        raise SystemExit(f"{folder} has too few recordings for a test part")
    made = [data.FrameSet(torch.stack(frames), torch.tensor(labels), classes) for frames, labels in parts.values()]
    return made[0], made[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, help="a folder with one sub-folder per class; simulated otherwise")
    parser.add_argument("--format", choices=READERS, default="aedat4")
    parser.add_argument("--simulate", type=int, default=600, help="number of recordings to simulate")
    parser.add_argument("--steps", type=int, default=10, help="T: frames per recording")
    parser.add_argument("--size", type=int, default=28, help="rows and columns of a frame")
    parser.add_argument(
        "--by", choices=("time", "count"), default="time", help="cut by equal times or equal numbers of events"
    )
    parser.add_argument("--norm", default="bntt")
    parser.add_argument("--width", type=float, default=0.5, help="share of VGG6's channels")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=25)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
