"""What stands for the unit's inference: a factory that makes a callable, and the cases it is called with."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from graviton_agent.errors import UsageError

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Layer:
    """One linear layer; its product is (rows x inputs) by (inputs x outputs)."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class Case:
    """One shape that the unit is called with."""

    batch: int
    """Rows of the input: samples of the tutorial's network, tokens of a language model."""
    weight: float = 1.0
    """Share of the unit's calls that have this shape; the weights of a workload add up to 1."""
    latency_bound_ms: float | None = None
    """Longest acceptable median latency in milliseconds; None if there is no such bound."""


@dataclass(frozen=True)
class Product:
    """The matrix product of one layer at one case: (m x k) by (k x n)."""

    m: int
    k: int
    n: int

    @property
    def smallest_dimension(self) -> int:
        """What the matmul threshold is compared with: oneDNN may take it if this is greater."""
        return min(self.m, self.k, self.n)


@dataclass(frozen=True)
class Workload:
    """A network of linear layers with ReLU between them, and the mix of cases that it serves."""

    layers: tuple[Layer, ...]
    cases: tuple[Case, ...]
    factory: str = "linear-stack"
    """Who makes the callable in the unit's interpreter; the built-in one is the tutorial's stack:
    Flatten, Linear and ReLU in turn, a last Linear without ReLU
    [pytorch/tutorials recipes_source/inference_tuning_on_aws_graviton.rst]."""
    dtype: Literal["float32"] = "float32"
    mode: Literal["eager"] = "eager"
    processes: int = 1
    """How many processes serve side by side, as the unit's workers do; a trial starts as many."""

    def product(self, layer: int, case: Case) -> Product:
        """The product that a layer computes at a case."""
        return Product(m=case.batch, k=self.layers[layer].inputs, n=self.layers[layer].outputs)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The distinct smallest dimensions of all products: only these can change the dispatch."""
        found = {
            self.product(layer, case).smallest_dimension
            for layer in range(len(self.layers))
            for case in self.cases
        }
        return tuple(sorted(found))

    @property
    def weight_bytes(self) -> int:
        """Size of the weights and biases in bytes."""
        return FLOAT32_BYTES * sum((layer.inputs + 1) * layer.outputs for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Size of the largest input and its largest neighbouring outputs in bytes."""
        widest = max(layer.inputs + 2 * layer.outputs for layer in self.layers)
        return FLOAT32_BYTES * widest * max(case.batch for case in self.cases)


@dataclass(frozen=True)
class Preset:
    """A named workload."""

    title: str
    layers: str
    batches: str


# The shapes of the language and vision models are those of one block; a block's parallel products (query, key
# and value; gate and up) are put in an order in which each output fits the next input.
PRESETS = {
    "tutorial": Preset("the PyTorch tutorial's network", "4096x4096,4096x11008,11008x10", "10,32,256"),
    "bert-base": Preset(
        "the linear layers of a BERT-base block, rows are tokens (1 and 8 sequences of 128)",
        "768x768,768x768,768x768,768x768,768x3072,3072x768",
        "128,1024",
    ),
    "vit-b": Preset(
        "the linear layers of a ViT-B/16 block, rows are patches (1 and 8 images of 197)",
        "768x768,768x768,768x768,768x768,768x3072,3072x768",
        "197,1576",
    ),
    "llama": Preset(
        "the linear layers of a Llama-class 7B block, rows are tokens (decoding 1 and 16, a prompt of 128)",
        "4096x4096,4096x4096,4096x4096,4096x4096,4096x11008,11008x4096,4096x11008",
        "1,16,128",
    ),
}

MAX_DIMENSION = 1 << 20
MAX_LAYERS = 64
MAX_CASES = 16


def parse_layers(text: str) -> tuple[Layer, ...]:
    """Reads `4096x4096,4096x11008`: inputs x outputs of each layer, each output fitting the next input."""
    layers = tuple(_parse_layer(part) for part in text.split(","))
    if len(layers) > MAX_LAYERS:
        raise UsageError(f"{len(layers)} layers are more than the {MAX_LAYERS} that a calibration takes")
    for before, after in itertools.pairwise(layers):
        if before.outputs != after.inputs:
            raise UsageError(
                f"layer {after.inputs}x{after.outputs} can't follow {before.inputs}x{before.outputs}: "
                f"it expects {after.inputs} inputs and gets {before.outputs}",
                hint="each layer is INPUTSxOUTPUTS, and its outputs are the next layer's inputs",
            )
    return layers


def _parse_layer(part: str) -> Layer:
    inputs, separator, outputs = part.strip().lower().partition("x")
    if not separator:
        raise UsageError(f"{part.strip()!r} is no layer", hint="write INPUTSxOUTPUTS, such as 4096x11008")
    return Layer(inputs=_parse_dimension(inputs, part), outputs=_parse_dimension(outputs, part))


def _parse_dimension(text: str, part: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:8]) <= MAX_DIMENSION or len(text) > 8:
        raise UsageError(
            f"{text!r} in {part.strip()!r} is no size",
            hint=f"sizes are whole numbers from 1 to {MAX_DIMENSION}",
        )
    return int(text)


def parse_batches(text: str) -> tuple[Case, ...]:
    """Reads `10,32,256`, or `1:0.7,32:0.3` with each batch's share of the calls.

    Without shares all batches are called equally often. Shares are scaled to add up to 1.
    """
    pairs = [_parse_batch(part) for part in text.split(",")]
    if len(pairs) > MAX_CASES:
        raise UsageError(f"{len(pairs)} batches are more than the {MAX_CASES} that a calibration takes")
    if len({batch for batch, _ in pairs}) != len(pairs):
        raise UsageError(f"a batch stands twice in {text!r}", hint="add up its weights")
    if len({weight is None for _, weight in pairs}) != 1:
        raise UsageError(f"only some batches of {text!r} have a weight", hint="weight all or none")
    total = math.fsum(1.0 if weight is None else weight for _, weight in pairs)
    return tuple(
        Case(batch=batch, weight=(1.0 if weight is None else weight) / total) for batch, weight in pairs
    )


def _parse_batch(part: str) -> tuple[int, float | None]:
    batch, separator, weight_text = part.strip().partition(":")
    size = _parse_dimension(batch, part)
    if not separator:
        return size, None
    try:
        weight = float(weight_text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and 0 < weight <= 1e9):
        raise UsageError(f"{weight_text!r} in {part.strip()!r} is no weight", hint="weights are above 0")
    return size, weight


def make_workload(
    *,
    preset: str = "tutorial",
    layers: str | None = None,
    batches: str | None = None,
    processes: int = 1,
) -> Workload:
    """Builds the workload of a preset, with layers or batches of one's own in place of the preset's."""
    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}", hint=f"presets are {', '.join(PRESETS)}")
    chosen = PRESETS[preset]
    return Workload(
        layers=parse_layers(layers or chosen.layers),
        cases=parse_batches(batches or chosen.batches),
        processes=processes,
    )


def backend_split(workload: Workload, case: Case, threshold: int) -> frozenset[int]:
    """The layers that a threshold sends to the BLAS library at a case.

    torch gives a product to oneDNN only if m, k and n are all greater than the threshold
    [pytorch/pytorch aten/src/ATen/native/LinearAlgebra.cpp, torch 2.1 and later].
    """
    return frozenset(
        layer
        for layer in range(len(workload.layers))
        if workload.product(layer, case).smallest_dimension <= threshold
    )


def heaviest_first(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases by falling batch: run in this order once, they leave the allocator in its settled state.

    A smaller batch that runs before the largest pays page faults that it never pays after it.
    """
    return tuple(sorted(cases, key=lambda case: -case.batch))
