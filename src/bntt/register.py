"""Decorators that register parts of your own, ``@bntt.register.norm("mine")``.

Pass the file that defines them: ``bntt --with my_parts.py train recipe.toml``. Recipes and checkpoints
cannot name code themselves (:mod:`bntt.runs.parts`). A name that is taken raises ValueError, as does a norm, neuron or
encoder with another argument than those listed that has no default.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc, signature
from typing import Any, Literal, get_type_hints

from bntt.registry import Decorator, Definition

REGISTERED: dict[str, Callable[..., Any]] = {}
"""Parts registered here, by recipe key and name: ``"network.norm=mine"``."""


def network(name: str) -> Decorator[Any]:
    """Register a builder of networks, which recipes call with all keys of ``[network]``.

    The builder takes ``num_classes``, ``num_steps``, ``leak``, ``norm``, ``width``, ``seed`` and, as ``**options``, the
    fields of :class:`bntt.models.spiking.NeuronOptions`. It also takes the sample sizes that it needs: ``in_features``,
    or ``in_channels`` and ``image_size``.

    Args:
        name: ``network.name`` of recipes.

    >>> from bntt.models import create, mlp
    >>> @network("register-one-layer")
    ... def one_layer(*, in_features=1, **options):
    ...     return mlp(in_features=in_features, hidden=(8,), **options)
    >>> create("register-one-layer", num_steps=2).num_steps
    2
    """
    from bntt.models import MODELS

    return _noted(f"network.name={name}", MODELS.register(name))


def model(name: str) -> Decorator[Any]:
    """Register a function that rebuilds the model of a run of :func:`bntt.fit`, by the run's name.

    Commands can then open a run whose network no recipe can build: ``bntt --with my_model.py exit runs/NAME``. The
    function takes no arguments and returns a :class:`bntt.SpikingClassifier` as it was before training; the run's
    weights are loaded into it.

    Args:
        name: of the run directory.

    Raises:
        ValueError: if the name is taken.

    >>> import bntt
    >>> @model("register-run")
    ... def rebuild():
    ...     return bntt.SpikingClassifier(bntt.PoissonEncoder(2), bntt.models.vgg6(num_steps=2))
    >>> REGISTERED["model=register-run"] is rebuild
    True
    """

    def add(build: Definition) -> Definition:
        if f"model={name}" in REGISTERED:
            raise ValueError(f"there is a model {name!r} already: choose another name")
        return build

    return _noted(f"model={name}", add)


def norm(name: str) -> Decorator[Any]:
    """Register a norm: a class or function that takes any of ``channels``, ``num_steps`` and ``threshold``.

    If it has a γ for each step, which early exit reads, declare it: ``facts = NormFacts(step_gamma=True)``.

    Args:
        name: ``network.norm`` of recipes, ``norm=`` of builders.

    >>> from bntt.models import vgg6
    >>> from bntt.nn import BNTT
    >>> _ = norm("register-slow-bntt")(lambda channels, num_steps: BNTT(channels, num_steps, momentum=0.01))
    >>> vgg6(num_steps=2, norm="register-slow-bntt").blocks["conv1"].norm.momentum
    0.01
    """
    from bntt.nn import NORMS

    return _noted(f"network.norm={name}", NORMS(name))


def neuron(name: str) -> Decorator[Any]:
    """Register neurons: a class or function that takes any of the arguments below.

    The arguments are ``channels``, ``num_steps``, ``leak``, ``threshold``, ``rule``, ``reset``, ``surrogate``,
    ``decay_input`` and ``learn_leak``. Without ``facts = NeuronFacts(waits=False)`` they count as one step late.

    Args:
        name: ``network.neuron`` of recipes, ``neuron=`` of builders.

    >>> from bntt.models import vgg6
    >>> from bntt.nn import LIF
    >>> _ = neuron("register-integrator")(lambda threshold: LIF(1.0, threshold))
    >>> vgg6(num_steps=2, neuron="register-integrator").blocks["conv1"].lif.neuron.leak
    1.0
    """
    from bntt.nn import NEURONS

    return _noted(f"network.neuron={name}", NEURONS(name))


def surrogate(name: str) -> Decorator[Any]:
    """Register a surrogate gradient, ``v = u/θ - 1`` → ``do/du``: a function, or a class whose options have defaults.

    Args:
        name: ``network.surrogate`` of recipes, ``surrogate=`` of builders.

    >>> _ = surrogate("register-box")(lambda v: (v.abs() < 0.5).to(v.dtype))
    """
    from bntt.models.spiking import SURROGATES

    def add(definition: Definition) -> Definition:
        SURROGATES.add(name, definition() if isinstance(definition, type) else definition)
        return definition

    return _noted(f"network.surrogate={name}", add)


def reset(name: str) -> Decorator[Any]:
    """Register a reset: ``(membrane, spikes, threshold)`` → the membrane after these spikes.

    Args:
        name: ``network.reset`` of recipes, ``reset=`` of builders.

    >>> _ = reset("register-half")(lambda membrane, spikes, threshold: membrane - 0.5 * threshold * spikes)
    """
    from bntt.models.spiking import RESETS

    return _noted(f"network.reset={name}", RESETS.register(name))


def rule(name: str) -> Decorator[Any]:
    """Register a firing rule: ``(current, membrane, neuron)`` → spikes and the membrane of the next step.

    Args:
        name: ``network.fire`` of recipes, ``fire=`` of builders.

    >>> _ = rule("register-no-integration")(lambda current, membrane, neuron: (neuron.fire(current), membrane))
    """
    from bntt.models.spiking import FIRE_RULES

    return _noted(f"network.fire={name}", FIRE_RULES.register(name))


def encoder(name: str) -> Decorator[Any]:
    """Register an encoder: a class or function that takes any of ``num_steps``, ``mean`` and ``std``.

    Args:
        name: ``encoder.name`` of recipes.

    >>> from bntt.nn import PoissonEncoder
    >>> encoder("register-unsigned")(lambda num_steps: PoissonEncoder(num_steps, signed=False))(4).num_steps
    4
    """
    from bntt.nn import ENCODERS

    return _noted(f"encoder.name={name}", ENCODERS(name))


def dataset(name: str, *, licence: str, kind: str = "images", **facts: Any) -> Decorator[Any]:
    """Register a function that makes a dataset, or reads it from ``(source, progress)``.

    Args:
        name: ``data.name`` of recipes.
        licence: the permitted use of its samples.
        kind: "images" (the function returns :class:`bntt.data.Splits`) or "frames" (:class:`bntt.data.FrameSplits`).
        **facts: other fields of :class:`bntt.data.samples.Dataset`.

    >>> from bntt.data import synthetic
    >>> @dataset("register-noise", licence="made here")
    ... def noise():
    ...     return synthetic(channels=1, image_size=8, train=20, test=10)
    >>> len(noise().train)
    20
    """
    from bntt.data.samples import DATASETS, Dataset

    def add(function: Definition) -> Definition:
        how = {"read" if signature(function).parameters else "make": function}
        given: dict[str, Any] = {"kind": kind, "licence": licence, **facts, **how}
        DATASETS.add(name, Dataset(**given))
        return function

    return _noted(f"data.name={name}", add)


def augmentation(name: str, *, of: Literal["images", "events"] = "images") -> Decorator[Any]:
    """Register a random change of a batch, ``(batch, *, seed, draw, index)`` → a batch.

    The change of a sample must depend only on these numbers (:mod:`bntt.data.augment`) and must keep its shape.

    Args:
        name: an element of ``data.augment`` of recipes.
        of: "images" ``[B, C, H, W]``, or "events": frames ``[B, T, C, H, W]``.

    >>> _ = augmentation("register-negative")(lambda batch, *, seed, draw, index: 1 - batch)
    """
    from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS

    changes = AUGMENTATIONS if of == "images" else EVENT_AUGMENTATIONS
    return _noted(f"data.augment={name}", changes.register(name))


def measurement(name: str, **options: Any) -> Decorator[Any]:
    """Register ``measure(run, arguments, progress)`` as a measurement.

    It becomes a command, a file of the run, a section of reports and a kind of measure for studies. Annotations name
    the dataclass of arguments and the :class:`~bntt.analysis.result.Result` that it returns; the first line of its
    docstring is the command's help.

    Args:
        name: of the command.
        **options: other fields of :class:`bntt.analysis.measurement.Measurement`.

    Raises:
        ValueError: if the name is taken, or the annotations or the docstring are missing.

    >>> @measurement("register-nothing")
    ... def nothing(run, arguments, progress):
    ...     return None
    Traceback (most recent call last):
    ValueError: the measurement 'register-nothing' needs a docstring, and annotations of `arguments` and of its result
    """
    from bntt.analysis.measurement import Measurement
    from bntt.analysis.measurements import register

    def add(measure: Definition) -> Definition:
        hints, named = get_type_hints(measure), list(signature(measure).parameters)
        if len(named) != 3 or not {named[1], "return"} <= hints.keys() or not measure.__doc__:
            raise ValueError(
                f"the measurement {name!r} needs a docstring, and annotations of `arguments` and of its result"
            )
        register(Measurement(name, cleandoc(measure.__doc__), hints[named[1]], hints["return"], measure, **options))
        return measure

    return _noted(f"measurement={name}", add)


def _noted(key: str, add: Decorator[Any]) -> Decorator[Any]:
    def decorate(definition: Definition) -> Definition:
        REGISTERED[key] = made = add(definition)
        return made  # type: ignore[no-any-return]

    return decorate
