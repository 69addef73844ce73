"""What holds for every function that measures a network: it changes nothing, repeats itself, and refuses alike."""

import copy
import math

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from bntt import analysis
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.attack.attacks import Threat, descend, input_gradient, right_under, search
from bntt.models import vgg6
from bntt.nn import PoissonEncoder, SpikingClassifier, TemporalNorm
from bntt.nn.tensor_checks import NonFiniteError
from tests.rows import each_row

STEPS, CLASSES = 3, 4
HARD = Threat(0.1, 2, draws=1, random_start=True)
STEPWISE = {  # of a loader of batches
    "evaluate": lambda model, batches, **options: analysis.evaluate(model, batches, **{"draws": 1} | options).right,
    "record_running": lambda model, batches, **options: analysis.record_running(model, batches, **options).right,
    "exit_each": lambda model, batches, **options: analysis.exit_each(model, batches, "margin", 0.1, **options).steps,
    "count_operations": lambda model, batches, **options: analysis.count_operations(model, batches, **options).spikes(),
    "class_activity": lambda model, batches, **options: analysis.class_activity(
        model, batches, CLASSES, **options
    ).by_class["conv1"],
    "input_drift": lambda model, batches: analysis.input_drift(model, batches)["conv2"].distance,
    "layer_inputs": lambda model, batches: analysis.layer_inputs(model, batches, "conv2").counts,
    "fold_equivalence": lambda model, batches: analysis.fold_equivalence(model, batches).accuracy,
}
OF_A_BATCH = {
    "predict": lambda model, x, y, **options: analysis.predict(model, x, "abcd", **options)[1].confidence,
    "neuron_trace": lambda model, x, y: analysis.neuron_trace(model, x[:1], "conv2").membrane,
    "untrained_activity": lambda model, x, y: analysis.untrained_activity(model, x).spikes["conv2"],
    "gradient_norms": lambda model, x, y: analysis.gradient_norms(model, x, y).norms["conv1"],
    "loss_along_gradient": lambda model, x, y: analysis.loss_along_gradient(model, x, y, (0.1, 1.0)).loss,
    "right_under": lambda model, x, y: right_under(model, x, y, draws=2),
    "input_gradient": lambda model, x, y: input_gradient(model, x, y, estimator="expected"),
    "descend": lambda model, x, y: descend(model, x, y, HARD, estimator="straight_through").images,
    "search": lambda model, x, y: search(model, x, y, 0.1, queries=4).images,
}
FUNCTIONS = OF_A_BATCH | {
    name: lambda model, x, y, of=of, **options: of(model, [(x[:4], y[:4]), (x[4:], y[4:])], **options)
    for name, of in STEPWISE.items()
}
DRAWING = ("evaluate", "record_running", "exit_each", "count_operations", "class_activity", "predict")
LABELLED = ("evaluate", "record_running", "exit_each", "count_operations", "class_activity", "fold_equivalence")


def built() -> SpikingClassifier:
    net = vgg6(num_classes=CLASSES, num_steps=STEPS, width=0.25, image_size=8, dropout=0.5, threshold=0.2)
    return SpikingClassifier(PoissonEncoder(STEPS, mean=[0.5], std=[0.3]), net)


@pytest.fixture
def model():
    return built()


@pytest.fixture
def batch(rng):
    return torch.rand(6, 1, 8, 8, generator=rng), torch.arange(6) % CLASSES


def everything(model: SpikingClassifier) -> list[object]:
    """What a measurement could change: values, gradients, modes, hooks, choices."""
    parts = [*model.modules()]
    return [
        {name: value.tolist() for name, value in model.state_dict().items()},
        [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in model.parameters()],
        [(part.training, len(part._forward_hooks) + len(part._forward_pre_hooks)) for part in parts],
        [part.put_off for part in parts if isinstance(part, TemporalNorm)],
        (model.network.compute, model.encoder.gradient, [block.name for block in model.network.blocks.values()]),
    ]


@each_row("name", FUNCTIONS)
def test_the_model_and_the_images_are_left_as_they_were(name, batch):
    """In a network with dropout, of which a block is in the other mode, a layer is frozen, and which has gradients."""
    for training in (True, False):
        model, (images, labels) = built().train(training), batch
        model.network.blocks["conv2"].train(not training)
        model(images).sum().backward()
        next(model.parameters()).requires_grad_(False)
        before, pixels = copy.deepcopy(everything(model)), images.clone()
        first = FUNCTIONS[name](model, images, labels)
        assert everything(model) == before
        assert torch.equal(images, pixels)
        assert not images.requires_grad
        assert torch.equal(*(torch.as_tensor(found) for found in (first, FUNCTIONS[name](model, images, labels))))


@each_row("name", STEPWISE)
def test_no_samples_are_refused(name, model):
    with pytest.raises(ValueError, match="no samples"):
        STEPWISE[name](model, [])


@each_row("name", DRAWING)
def test_less_than_one_draw_is_refused(name, model, batch):
    with pytest.raises(ValueError, match=r"draws .* 0"):
        FUNCTIONS[name](model, *batch, draws=0)


@each_row("labels", [torch.arange(6), torch.full((6,), -1), torch.eye(6), torch.full((6,), 0.5)])
def test_labels_that_are_no_classes_are_refused(labels, model, batch):
    for name in LABELLED if labels.is_floating_point() else (*LABELLED, "right_under"):
        with pytest.raises(ValueError, match="labels"):
            FUNCTIONS[name](model, batch[0], labels)


@each_row("name", [*LABELLED, "predict", "right_under"])
def test_weights_or_logits_that_are_not_finite_are_no_answer(name, model, batch):
    gamma, readout = model.network.blocks["conv1"].norm.gamma, model.network.readout.synapse.weight
    rows = [(gamma, math.nan, "conv1.norm.gamma")] * (name != "fold_equivalence") + [(readout, 1e38, "logits")] * (
        name != "class_activity"
    )
    for weight, value, site in rows:
        with torch.no_grad():
            weight.fill_(value)
        with pytest.raises(NonFiniteError, match=site):
            FUNCTIONS[name](model, *batch)
        with torch.no_grad():
            weight.fill_(1)


class Negated(SpikingClassifier):
    def __call__(self, *args, **call):
        return -super().__call__(*args, **call)


BYPASSED = {
    "the classifier has a hook": lambda model: model.register_forward_hook(lambda model, args, out: -out),
    "network has a hook": lambda model: model.network.register_forward_pre_hook(
        lambda net, args: (-args[0], *args[1:])
    ),
    "every module has a hook": lambda model: register_module_forward_hook(
        lambda module, args, out: -out if module is model else None
    ),
    "__call__": lambda model: setattr(model, "__class__", Negated),
    "forward": lambda model: setattr(model.network, "forward", lambda x, **call: x),
}
"""What makes a whole call say something else than the answers after single steps."""


@each_row("said", BYPASSED)
def test_what_only_a_whole_call_would_do_is_refused(said, batch):
    model = built()
    handle = BYPASSED[said](model)
    try:
        for name in FUNCTIONS.keys() - {"right_under", "input_gradient", "descend", "search", "loss_along_gradient"}:
            with pytest.raises(TypeError, match=said):
                FUNCTIONS[name](model, *batch)
    finally:
        if handle is not None:
            handle.remove()


def test_a_hook_on_a_part_acts_in_every_pass(model, batch):
    plain = FUNCTIONS["evaluate"](model, *batch)
    model.network.readout.register_forward_hook(lambda readout, args, out: (-out[0], out[1]))
    found = FUNCTIONS["evaluate"](model, *batch)
    whole = model.eval()(batch[0], index=torch.arange(6), draw=FIRST_DRAW)
    assert torch.equal(found[0], whole.argmax(1) == batch[1])
    assert not torch.equal(found, plain)
