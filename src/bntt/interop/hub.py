"""The Hugging Face hub: a classifier that stores how it is built, with ``save_pretrained`` and ``from_pretrained``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin

from bntt.models.spiking import MODELS, create, structure
from bntt.nn.kinds import ENCODERS
from bntt.nn.network.classifier import SpikingClassifier, touched_parts


class Model(SpikingClassifier, PyTorchModelHubMixin, library_name="bntt"):  # type: ignore[misc,call-arg]
    """A classifier of registered parts, for a folder or the hub: config.json and model.safetensors.

    Save with ``model.save_pretrained(folder)`` and load with ``Model.from_pretrained(folder)``, in evaluation mode.
    Names in a file are looked up in the registries: a file cannot name code.

    Args:
        network: the name of the network and the arguments of its builder, ``{"name": "vgg9", "num_steps": 25}``.
        encoder: the name of the encoder and its arguments, ``{"name": "poisson", "mean": [...], "std": [...]}``; its
            steps are the network's.

    Raises:
        ValueError: on an unknown name, an argument that the encoder does not have, or one that config.json cannot hold;
            when saving, if the model was changed since it was built.
    """

    def __init__(self, network: Mapping[str, Any], encoder: Mapping[str, Any]) -> None:
        try:
            json.dumps([dict(network), dict(encoder)])
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"config.json holds names, numbers and lists, and cannot hold these arguments: {error}"
            ) from None
        net, kind = create(**network), ENCODERS.resolve(encoder["name"])
        options = {key: value for key, value in encoder.items() if key != "name"}
        if wrong := [key for key in options if not kind.takes(key)]:
            raise ValueError(f"the encoder {encoder['name']!r} has no {wrong[0]!r}")
        steps = network.get("num_steps", signature(MODELS.resolve(network["name"])).parameters["num_steps"].default)
        super().__init__(kind(**{"num_steps": steps, **options}), net)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Save the weights, unless config.json builds another model than this one has become."""
        config: Any = self._hub_mixin_config
        if touched := touched_parts(self):
            name, why = next(iter(touched.items()))
            raise ValueError(f"{name} {why}, which a model loaded from the folder would lack: remove it to save")
        built = type(self)(**config)
        types, own = ([tensor.dtype for tensor in one.state_dict().values()] for one in (built, self))
        if structure(built) != structure(self) or types != own:
            raise ValueError(
                "the model was changed since it was built, and config.json holds the arguments it was built with: "
                "build the changed model, Model(network=..., encoder=...), and load its weights"
            )
        super()._save_pretrained(save_directory)

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **options: Any) -> Any:
        """Load a folder; unlike the hub's default, refuse weights of another network."""
        return super()._from_pretrained(strict=strict, **options)
