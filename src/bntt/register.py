"""Decorators that name parts of your own, ``@bntt.register.norm("mine")``: recipes and verbs then know them.

Name the file or package of these definitions when training or measuring, ``bntt --with my_parts.py train recipe.toml``;
no recipe and no checkpoint can (:mod:`bntt.runs.parts`).
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc, signature
from typing import Any, Literal, TypeVar, get_type_hints

Definition = TypeVar("Definition", bound=Callable[..., Any])
Decorator = Callable[[Definition], Definition]

REGISTERED: dict[str, Callable[..., Any]] = {}
"""Parts registered here, by recipe key and name: ``"network.norm=mine"``."""


def network(name: str) -> Decorator[Any]:
    """Register a builder of networks, which recipes call with all of ``[network]``.

    It takes ``num_classes``, ``num_steps``, ``leak``, ``norm``, ``width``, ``seed`` and, as ``**options``, those of
    :class:`bntt.models.spiking.NeuronOptions`; it also names the sample sizes that it needs: ``in_features``, or
    ``in_channels`` and ``image_size``.

    Raises:
        ValueError: if the name is taken.
    """
    from bntt.models import MODELS

    return _noted(f"network.name={name}", MODELS.register(name))


def model(name: str) -> Decorator[Any]:
    """Register a function without arguments that builds the model of a run of :func:`bntt.fit`, by the run's name.

    Verbs then open ``runs/NAME`` though no recipe can build its network: ``bntt --with my_model.py exit runs/NAME``.
    It returns a :class:`bntt.SpikingClassifier` as it was before training; it receives the run's weights.

    Raises:
        ValueError: if the name is taken.
    """

    def add(build: Definition) -> Definition:
        if f"model={name}" in REGISTERED:
            raise ValueError(f"the model {name!r} is registered already")
        return build

    return _noted(f"model={name}", add)


def norm(name: str) -> Decorator[Any]:
    """Register a norm, a class or a function of some of ``channels``, ``num_steps`` and ``threshold``.

    Raises:
        ValueError: if the name is taken, or another argument has no default.
    """
    from bntt.nn import NORMS

    return _noted(f"network.norm={name}", NORMS(name))


def neuron(name: str) -> Decorator[Any]:
    """Register neurons, called with any of these that they name: ``channels``, ``num_steps``, ``leak``, ``threshold``,
    ``rule``, ``reset``, ``surrogate``, ``decay_input`` and ``learn_leak``.

    Raises:
        ValueError: if the name is taken, or another argument has no default.
    """
    from bntt.nn import NEURONS

    return _noted(f"network.neuron={name}", NEURONS(name))


def surrogate(name: str) -> Decorator[Any]:
    """Register a surrogate gradient: ``v = u/θ - 1`` → ``do/du``, a function, or a class whose options have defaults.

    Raises:
        ValueError: if the name is taken.
    """
    from bntt.models.spiking import SURROGATES

    def add(definition: Definition) -> Definition:
        SURROGATES.add(name, definition() if isinstance(definition, type) else definition)
        return definition

    return _noted(f"network.surrogate={name}", add)


def reset(name: str) -> Decorator[Any]:
    """Register a reset: ``(membrane, spikes, threshold)`` → the membrane after these spikes.

    Raises:
        ValueError: if the name is taken.
    """
    from bntt.models.spiking import RESETS

    return _noted(f"network.reset={name}", RESETS.register(name))


def rule(name: str) -> Decorator[Any]:
    """Register a firing rule: ``(current, membrane, neuron)`` → spikes and the membrane of the next step.

    Raises:
        ValueError: if the name is taken.
    """
    from bntt.models.spiking import FIRE_RULES

    return _noted(f"network.fire={name}", FIRE_RULES.register(name))


def encoder(name: str) -> Decorator[Any]:
    """Register an encoder, called with any of ``num_steps``, ``mean`` and ``std`` that it names.

    Raises:
        ValueError: if the name is taken, or another argument has no default.
    """
    from bntt.nn import ENCODERS

    return _noted(f"encoder.name={name}", ENCODERS(name))


def dataset(name: str, *, licence: str, kind: str = "images", **facts: Any) -> Decorator[Any]:
    """Register a function that makes a dataset's two splits, or reads them from ``(source, progress)``.

    Args:
        name: of the dataset, ``data.name`` of a recipe.
        licence: the permitted use of its samples.
        kind: "images" (it returns :class:`bntt.data.Splits`) or "frames" (:class:`bntt.data.FrameSplits`).
        facts: the others of :class:`bntt.data.registry.Dataset`.

    Raises:
        ValueError: if the name is taken.
    """
    from bntt.data.registry import Dataset, register

    def add(function: Definition) -> Definition:
        how = {"read" if signature(function).parameters else "make": function}
        given: dict[str, Any] = {"kind": kind, "licence": licence, **facts, **how}
        register(name, Dataset(**given))
        return function

    return _noted(f"data.name={name}", add)


def augmentation(name: str, *, of: Literal["images", "events"] = "images") -> Decorator[Any]:
    """Register a random change of a batch, ``(batch, *, seed, draw, index)`` → a batch of the same shape.

    Each sample's change must depend on nothing but these numbers, as those of :mod:`bntt.data.augment` do.

    Args:
        name: of the change, one of ``data.augment`` of a recipe.
        of: images ``[B, C, H, W]``, or frames of events ``[B, T, C, H, W]``.

    Raises:
        ValueError: if the name is taken.
    """
    from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS

    changes = AUGMENTATIONS if of == "images" else EVENT_AUGMENTATIONS
    return _noted(f"data.augment={name}", changes.register(name))


def measurement(name: str, **options: Any) -> Decorator[Any]:
    """Register ``measure(run, arguments, progress)``: a verb, a file, a section of reports, a kind for studies.

    Its annotations name the dataclass of arguments and the :class:`~bntt.analysis.result.Result` that it returns; the
    first line of its docstring is the verb's help.

    Args:
        name: of the verb.
        options: the others of :class:`bntt.analysis.measurement.Measurement`.

    Raises:
        ValueError: if the name is taken, or the annotations or the docstring are missing.
    """
    from bntt.analysis.measurement import Measurement
    from bntt.analysis.measurements import register

    def add(measure: Definition) -> Definition:
        hints, named = get_type_hints(measure), list(signature(measure).parameters)
        if len(named) != 3 or not {named[1], "return"} <= hints.keys() or not measure.__doc__:
            raise ValueError(
                f"the measurement {name!r} needs a docstring, and types of (run, arguments, progress) and its result"
            )
        register(Measurement(name, cleandoc(measure.__doc__), hints[named[1]], hints["return"], measure, **options))
        return measure

    return _noted(f"measurement={name}", add)


def _noted(key: str, add: Decorator[Any]) -> Decorator[Any]:
    def decorate(definition: Definition) -> Definition:
        made: Definition = add(definition)
        REGISTERED[key] = made
        return made

    return decorate
