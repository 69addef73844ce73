"""What a recipe may say: schema, defaults and documentation in one place; an unknown key is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bntt.engine.compute import BackendName, Events, Precision
from bntt.runs.recipe import choices as names
from bntt.runs.recipe.schema_data import Data, Encoder, Part, Positive

if TYPE_CHECKING:
    from bntt.training.method import Method

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]


def _recompute(value: object) -> object:
    """Said in one piece: of a union, the message of one member alone would be told."""
    if value in ("auto", "never") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError('must be "auto", "never" or a whole number of steps, 1 or more')


def _learn_leak(value: object) -> object:
    if isinstance(value, bool) or value in ("layer", "channel"):
        return value
    raise ValueError('must be true, false, "layer" or "channel"')


def _scale(value: object) -> object:
    if value == "validation" or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6):
        return value
    raise ValueError('must be a number above 0, or "validation"')


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the key, what was expected and what came."""


class Network(Part):
    """The network. Classes, channels and image size come from the data."""

    name: Annotated[str, names.one_of(names.models)]
    """The builder; `bntt list models` names them."""
    num_steps: Annotated[int, Field(ge=1, le=100_000)]
    """T."""
    neuron: Literal["lif", "relu"] = "lif"
    """"relu" is an ANN of the same plan: one step, no norm; leak, threshold, fire, reset and surrogate say nothing."""
    leak: Fraction = 0.95
    """λ; 1 is an integrator without leak."""
    norm: Annotated[str, names.one_of(names.norms)] = "bntt"
    """The normalisation; `bntt list norms` names them."""
    norm_eps: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """ε of every norm, in place of its own 1e-4; 0 is its own."""
    width: Annotated[float, Field(gt=0, le=64)] = 1.0
    """Multiplies every layer's channels."""
    threshold: Annotated[float, Field(gt=0, lt=1e6)] = 1.0
    """θ."""
    fire: Annotated[str, names.one_of(names.fire_rules)] = "after"
    """Fire after integration (the paper) or before it (one step of delay per layer)."""
    reset: Annotated[str, names.one_of(names.resets)] = "soft"
    """What a spike takes from the potential: the threshold ("soft"), or all of it ("hard")."""
    surrogate: Annotated[str, names.one_of(names.surrogates)] = "triangle"
    """The gradient of a spike; "triangle" is the paper's."""
    surrogate_scale: Annotated[float, Field(ge=0, lt=1e6)] = 0.0
    """α of Eq. 8 (0.3 there), in place of the surrogate's own scale; 0 is its own."""
    readout: Literal["voltage", "spikes"] = "voltage"
    """What the output layer says: its accumulated voltage (the paper), or a count of its spikes."""
    learn_leak: Annotated[bool | Literal["layer", "channel"], BeforeValidator(_learn_leak)] = False
    """A learnable leak that starts at `leak`: one of each layer (true or "layer"), or one of every channel."""
    decay_input: bool = False
    """Whether the input decays as the membrane does, m = λu + (1 - λ)y (with learn_leak: PLIF, Fang et al. 2021)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of spikes that one mask for all steps drops in training, after hidden layers that no pooling follows."""


class Convert(Part):
    """Where the weights of an ANN and balanced thresholds are what the network begins with
    (:func:`bntt.training.balance`). With ``train.epochs = 0`` it is the converted network, else the hybrid (Rathi et
    al. 2020), which is trained from there on."""

    ann: str = ""
    """The run directory of an ANN (network.neuron = "relu") of the same plan, width, data and seed; "": of none."""
    images: Positive = 512
    """Training images that balance the thresholds, as many of each class as its share."""
    steps: Annotated[int, Field(ge=1, le=100_000)] = 250
    """For how many steps they are shown."""
    scale: Annotated[float | Literal["validation"], BeforeValidator(_scale)] = 1.0
    """What every threshold is multiplied by: 1 is Sengupta et al. 2019, Rathi et al. 2020 take 0.7; "validation" takes
    the best of `grid` (Han et al. 2020 scale too, their factor is not known)."""
    grid: Annotated[list[Annotated[float, Field(gt=0, lt=1e6)]], Field(min_length=1)] = Field(
        default=[0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    )
    """Scales that "validation" tries; of those equally accurate after all steps the largest."""
    grid_images: Positive = 500
    """Validation images that it tries them on, at most, as many of each class as its share."""


class Imported(Part):
    """The file that the weights are from, where they were not trained here: see :mod:`bntt.runs.imported`."""

    file: str = ""
    """Its name; "": they were trained here."""
    sha256: str = ""
    layout: str = ""
    """Whose names it has."""


class Train(Part):
    """How it is trained, the paper's SGD by default; :class:`bntt.training.Method` says what each key means."""

    epochs: Annotated[int, Field(ge=0, le=1_000_000)]
    """0 for a converted network alone, or an imported one."""
    batch_size: Positive
    optimizer: Annotated[str, names.one_of(names.optimizers)] = "sgd"
    """"sgd" with momentum, "adam" or "adamw"."""
    lr: Rate = 0.3
    momentum: BelowOne = 0.9
    """Of SGD; β₁ of Adam and AdamW."""
    beta2: BelowOne = 0.999
    """Of Adam and AdamW."""
    amsgrad: bool = False
    """Adam and AdamW: divide by the largest second moment so far."""
    weight_decay: Rate = 5e-4
    """On synaptic weights."""
    gamma_decay: Rate = 5e-4
    """On γ, β and p_t; as `weight_decay` where it is left out, because early exit depends on it. Leaks never decay."""
    schedule: Annotated[str, names.one_of(names.schedules)] = "step"
    """Of the rate: "step" (the paper's), "cosine", "one-cycle" or "constant"."""
    lr_drops: list[Annotated[int, Field(ge=0, le=100)]] = Field(default=[50, 70, 90])
    """"step": percentages of the epochs at which the rate falls."""
    lr_factor: Fraction = 0.1
    """"step": by which factor."""
    lr_every: Literal["epoch", "step"] = "epoch"
    """Rates change with every "epoch" or every "step"; those of "one-cycle" and a warm-up always with every step."""
    warmup: Rate = 0.0
    """Epochs, also a part of one, in which the rate rises update by update before the schedule begins; "one-cycle" has
    its own."""
    clip_norm: Rate = 0.0
    """The largest norm of all gradients together; 0: as they are."""
    accumulate: Positive = 1
    """Batches to an update, each normalised by statistics of its own."""
    loss: Annotated[str, names.one_of(names.losses)] = "cross-entropy"
    """Of the logits after all steps, or "tet" of every step's drive."""
    label_smoothing: BelowOne = 0.0
    """Share of every label that is spread over all classes."""
    tet_share: Fraction = 0.05
    """λ of "tet"."""
    tet_target: Rate = 1.0
    """φ of "tet"."""
    grow: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]] = Field(default=[])
    """[[steps, epochs], ...], ever more steps: so many epochs take the first few of `network.num_steps` alone, the rest
    of the epochs all; epochs before that are never the best."""
    average: BelowOne = 0.0
    """Decay of a moving average of weights and running statistics; where there is one, it is what validates, what is
    kept as the best, and what is tested."""

    @model_validator(mode="before")
    @classmethod
    def _gamma_as_weights(cls, values: Any) -> Any:
        if isinstance(values, dict) and "weight_decay" in values and "gamma_decay" not in values:
            return {**values, "gamma_decay": values["weight_decay"]}
        return values

    @model_validator(mode="after")
    def _as_a_method(self) -> Train:
        """Two keys may exclude each other: the method itself says so."""
        _ = self.method
        return self

    @property
    def method(self) -> Method:
        """The same as the library takes it."""
        from bntt.training.method import Method

        return Method(**self.model_dump(exclude={"epochs", "batch_size"}))


class Compute(Part):
    """How it is computed, not what: results differ in rounding alone."""

    backend: BackendName = "auto"
    """Fused kernels where they can run ("auto"), plain PyTorch ("reference"), or fused kernels or an error: those for
    processors ("cpu") or, never run on a GPU by their authors, those for GPUs ("triton")."""
    events: Events = "fixed"
    """When layers go event-driven: "fixed" is the same rule in every run, "measured" times both ways and may differ
    between two starts."""
    recompute: Annotated[Literal["auto", "never"] | int, BeforeValidator(_recompute)] = "auto"
    """Whether the kernels keep the currents of all time steps for the backward pass ("never"), or of so many steps at
    a time and compute them again; "auto" does that when memory would not suffice."""
    precision: Precision = "fp32"
    """Of the kernels' dense products: "bf16-grad" takes bfloat16 for gradients alone, the spikes stay those of fp32."""


class Evaluate(Part):
    """How accuracy is measured at the end."""

    draws: Annotated[int, Field(ge=1, le=1000)] = 5
    """Repetitions with fresh encoder noise."""
    batch_size: Positive = 250
    images: Annotated[int, Field(ge=0)] = 0
    """Of the split that is measured, so many, as many of each class as its share; 0: all of them."""
    every: Positive = 1
    """Epochs between two validations in training; the last epoch is always validated."""


class Checkpoint(Part):
    """When a training is kept, so that it can go on after a stop: after every epoch, and in between."""

    every_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """Minutes between two checkpoints; 0: after every update."""
    every_steps: Annotated[int, Field(ge=0)] = 0
    """Updates between two checkpoints; 0: by time alone."""
    last: Annotated[int, Field(ge=1, le=1000)] = 2
    """How many of the latest checkpoints are kept, beside the best epoch's weights."""


class Recipe(Part):
    """One training run."""

    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Of everything random: weights, order, augmentation, noise, the validation split."""
    notes: str = ""
    """What a reader should know; what the paper leaves open."""
    data: Data
    encoder: Encoder = Encoder()
    network: Network
    convert: Convert = Convert()
    imported: Imported = Imported()
    train: Train
    evaluate: Evaluate = Evaluate()
    compute: Compute = Compute()
    checkpoint: Checkpoint = Checkpoint()

    @model_validator(mode="after")
    def _sequences_or_images(self) -> Recipe:
        """Sequences have an encoder of their own, and nothing changes them."""
        order, encoder = self.data.order, self.encoder.name
        if bool(order) != (encoder == "sequence"):
            made = f"sequences (data.order = {order!r})" if order else 'images (data.order = "")'
            takes = '"sequence"' if order else "any other than 'sequence'"
            raise ValueError(f"encoder.name: {made} are encoded by {takes}, got {encoder!r}")
        for key, value in (("augment", self.data.augment), ("mix", self.data.mix)):
            if order and value:
                raise ValueError(f"data.{key}: {value!r} is for images, data.order makes sequences: leave it out")
        return self

    @model_validator(mode="after")
    def _converted_or_trained(self) -> Recipe:
        """What the tables say of a conversion must fit together."""
        network, converted = self.network, bool(self.convert.ann)
        if (grow := self.train.grow) and (
            grow[-1][0] >= network.num_steps or sum(epochs for _, epochs in grow) >= self.train.epochs
        ):
            raise ValueError(
                f"train.grow: must take fewer steps than network.num_steps = {network.num_steps}, and fewer epochs in "
                f"all than train.epochs = {self.train.epochs}, got {grow}"
            )
        if self.imported.file and (converted or self.train.epochs):
            raise ValueError('imported.file: an imported network is measured as it is: convert.ann = "", epochs = 0')
        if self.train.epochs == 0 and not converted and not self.imported.file:
            raise ValueError("train.epochs: 0 trains nothing; a network that is converted is named in convert.ann")
        if converted and network.neuron != "lif":
            raise ValueError(
                'convert.ann: an ANN (network.neuron = "relu") is what is converted, not what becomes of it'
            )
        if converted and network.norm != "none":
            raise ValueError(f'network.norm: a converted network has none, "none", got {network.norm!r}')
        if converted and network.threshold != 1:
            raise ValueError(
                f"network.threshold: balancing sets them, convert.scale scales them; got {network.threshold}"
            )
        if converted and network.decay_input:
            raise ValueError(
                "network.decay_input: thresholds are balanced with the input as it is, a converted network has "
                "decay_input = false"
            )
        if self.train.epochs == 0 and converted and (network.leak != 1 or network.learn_leak):
            raise ValueError(
                f"network.leak: converted neurons that are not trained are integrators, leak = 1 and none learned, got "
                f"{network.leak} and learn_leak = {network.learn_leak}"
            )
        return self
