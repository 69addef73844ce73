"""Small trainings of everything that numbers depend on, in float64 on plain PyTorch, and on the kernels in float32."""

import torch

from bntt import Compute, Method, PoissonEncoder, SpikingClassifier
from bntt.data import SampleLoader, synthetic
from bntt.models import mlp, vgg6
from bntt.nn import NORMS, DirectEncoder, ExpectedEncoder
from bntt.training import StepRecord, updates

NUMERICS_KEY, WEIGHTS_KEY = "numerics", "weights"
STEPS = 6
"""One more than layers, so that something comes through where every layer delays."""
SMALL = {"num_classes": 3, "num_steps": STEPS, "width": 0.125, "in_channels": 1, "image_size": 8, "seed": 5}
ENCODERS = {
    "poisson": lambda: PoissonEncoder(STEPS, mean=[0.4], std=[0.3]),
    "poisson-unsigned": lambda: PoissonEncoder(STEPS, signed=False),
    "direct": lambda: DirectEncoder(STEPS, mean=[0.4], std=[0.3]),
}
CASES = {
    "base": {},
    **{f"norm-{name}": {"norm": name, "threshold": 0.7} for name in NORMS},
    "encoder-poisson-unsigned": {"encoder": "poisson-unsigned"},
    "encoder-direct": {"encoder": "direct", "dtype": "float32"},
    "fire-before": {"fire": "before"},
    "hard-reset": {"reset": "hard"},
    "fast-sigmoid": {"surrogate": "fast-sigmoid"},
    "arctan": {"surrogate": "arctan"},
    "surrogate-scale": {"surrogate_scale": 1.0},
    "leak": {"leak": 0.5, "method": {"lr": 0.5}},
    "learned-leak": {"leak": 0.5, "learn_leak": "layer", "method": {"lr": 0.5}},
    "dropout": {"dropout": 0.2},
    "spike-count": {"readout": "spikes"},
    "adam": {"method": {"optimizer": "adam", "lr": 1e-3, "amsgrad": True}},
    "adamw-cosine": {"method": {"optimizer": "adamw", "lr": 1e-3, "schedule": "cosine", "warmup": 1.0}},
    "one-cycle-clip": {"method": {"schedule": "one-cycle", "clip_norm": 1.0}},
    "tet-smoothing": {"method": {"loss": "tet", "label_smoothing": 0.1}},
    "augmented": {"augment": ["crop", "flip", "cutout"], "mix": "mixup"},
    "ann": {"neuron": "relu", "norm": "none", "num_steps": 1, "dtype": "float32"},
    "mlp": {"model": "mlp"},
    "kernels": {"dtype": "float32", "backend": "auto"},
    "kernels-tdbn": {"dtype": "float32", "backend": "auto", "norm": "tdbn"},
}
"""What differs from VGG6 with BNTT, signed Poisson spikes and the paper's SGD."""


class Loader(SampleLoader):
    """Images in the network's own type."""

    dtype = torch.float64

    def epoch(self, *args, **options):
        for batch in super().epoch(*args, **options):
            yield batch._replace(inputs=batch.inputs.to(self.dtype))


def weights_of(model):
    return [part.weight for part in model.modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)]


def begin_exactly(model):
    """Weights of a range without rounding: what PyTorch draws in float32 has another last bit on old processors."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in weights_of(model):
            bound = 2 * (6 / (weight[0].numel() + weight[:, 0].numel())) ** 0.5
            weight.copy_((torch.rand(weight.shape, generator=generator, dtype=torch.float64) * 2 - 1) * bound)


def sizes_of_weights():
    """The mean size of every layer's weights that a builder draws from its seed."""
    return [float(weight.detach().double().abs().mean()) for weight in weights_of(vgg6(**SMALL))]


def losses(name):
    """The losses of every update of a case: two epochs of three batches."""
    case = dict(CASES[name])
    encoder, method = case.pop("encoder", "poisson"), Method(**{"lr": 0.05, **case.pop("method", {})})
    augment, mix = case.pop("augment", ()), case.pop("mix", "")
    dtype, backend = getattr(torch, case.pop("dtype", "float64")), case.pop("backend", "reference")
    builder = {"vgg6": vgg6, "mlp": mlp}[case.pop("model", "vgg6")]
    options = {**SMALL, **case}
    if builder is mlp:
        options = {key: value for key, value in options.items() if key not in ("in_channels", "image_size")}
        options |= {"in_features": 64}
    network = builder(**options)
    network.compute = Compute(backend)
    made = ExpectedEncoder(1, mean=[0.4], std=[0.3]) if case.get("neuron") == "relu" else ENCODERS[encoder]()
    model = SpikingClassifier(made, network).to(dtype)
    begin_exactly(model)
    images = synthetic(channels=1, image_size=8, num_classes=3, train=24, test=3).train
    loader = Loader(images, 8, shuffle=True, augment=augment, mix=mix, seed=7)
    loader.dtype = dtype
    records = updates(model, loader, epochs=2, method=method, seed=7)
    return [record.loss for record in records if isinstance(record, StepRecord)]
