"""Workloads: what the command line's texts mean, and which layers a threshold sends to BLAS."""

import contextlib
import itertools
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graviton_agent.errors import UsageError
from graviton_agent.workload import (
    MAX_CASES,
    MAX_DIMENSION,
    MAX_LAYERS,
    PRESETS,
    Case,
    Layer,
    Workload,
    backend_split,
    heaviest_first,
    make_workload,
    parse_batches,
    parse_layers,
)
from tests.simulator.builds import TORCH_2_9_1
from tests.simulator.dispatch import Kernel, Machine

sizes = st.integers(1, MAX_DIMENSION)
stacks = st.lists(st.integers(1, 600), min_size=2, max_size=5).map(
    lambda widths: tuple(Layer(*pair) for pair in itertools.pairwise(widths))
)
batches = st.lists(st.integers(1, 600), min_size=1, max_size=4, unique=True)


def test_layers_are_inputs_by_outputs() -> None:
    assert parse_layers("4096x4096, 4096X10") == (Layer(4096, 4096), Layer(4096, 10))


@given(st.lists(sizes, min_size=2, max_size=MAX_LAYERS + 1))
def test_layers_that_fit_each_other_are_read_back(widths: list[int]) -> None:
    pairs = list(itertools.pairwise(widths))
    assert parse_layers(",".join(f"{k}x{n}" for k, n in pairs)) == tuple(Layer(k, n) for k, n in pairs)


def test_a_layer_must_take_what_the_one_before_gives() -> None:
    with pytest.raises(UsageError, match="8x10 can't follow 4x4: it expects 8 inputs and gets 4"):
        parse_layers("4x4,8x10")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "4",
        "4x",
        "x4",
        "4x4,",
        "4x4x4",
        "0x4",
        "4x0",
        "-4x4",
        "+4x4",
        "4.0x4",
        "1e3x4",
        "4 x 4",
        "٤x4",
    ],
)
def test_what_is_no_layer_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_layers(text)


def test_a_layer_has_a_largest_size() -> None:
    assert parse_layers(f"{MAX_DIMENSION}x1") == (Layer(MAX_DIMENSION, 1),)
    for size in (str(MAX_DIMENSION + 1), "9" * 9, "9" * 5000):
        with pytest.raises(UsageError, match="no size"):
            parse_layers(f"{size}x1")


def test_a_network_has_a_largest_number_of_layers() -> None:
    with pytest.raises(UsageError, match=f"more than the {MAX_LAYERS}"):
        parse_layers(",".join(["8x8"] * (MAX_LAYERS + 1)))


@given(st.text(max_size=40))
def test_no_text_for_layers_raises_anything_but_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        layers = parse_layers(text)
        assert all(0 < size <= MAX_DIMENSION for layer in layers for size in (layer.inputs, layer.outputs))


def test_batches_without_shares_are_called_equally_often() -> None:
    assert [(case.batch, case.weight) for case in parse_batches("10, 32")] == [(10, 0.5), (32, 0.5)]


def test_shares_are_scaled_to_one() -> None:
    assert [(case.batch, case.weight) for case in parse_batches("1:6,32:2")] == [(1, 0.75), (32, 0.25)]


@given(st.dictionaries(st.integers(1, MAX_DIMENSION), st.floats(1e-6, 1e9), min_size=1, max_size=MAX_CASES))
def test_weighted_batches_are_read_back(shares: dict[int, float]) -> None:
    cases = parse_batches(",".join(f"{batch}:{share!r}" for batch, share in shares.items()))
    assert [case.batch for case in cases] == list(shares)
    assert math.fsum(case.weight for case in cases) == pytest.approx(1.0)
    total = math.fsum(shares.values())
    assert [case.weight for case in cases] == pytest.approx([share / total for share in shares.values()])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no size"),
        ("ten", "no size"),
        ("0", "no size"),
        ("-1", "no size"),
        ("1,", "no size"),
        ("1:", "no weight"),
        ("1:0", "no weight"),
        ("1:-1", "no weight"),
        ("1:nan", "no weight"),
        ("1:inf", "no weight"),
        ("1:1e10", "no weight"),
        ("1,1", "stands twice"),
        ("1:0.5,32", "weight all or none|only some"),
        (",".join(map(str, range(1, MAX_CASES + 2))), f"more than the {MAX_CASES}"),
    ],
)
def test_what_is_no_mix_of_batches_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_batches(text)


@given(st.text(max_size=40))
def test_no_text_for_batches_raises_anything_but_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert math.fsum(case.weight for case in parse_batches(text)) == pytest.approx(1.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_workload(preset: str) -> None:
    workload = make_workload(preset=preset)
    assert math.fsum(case.weight for case in workload.cases) == pytest.approx(1.0)


def test_the_default_is_the_tutorials_network() -> None:
    workload = make_workload()
    assert [(layer.inputs, layer.outputs) for layer in workload.layers] == [
        (4096, 4096),
        (4096, 11008),
        (11008, 10),
    ]
    assert [case.batch for case in workload.cases] == [10, 32, 256]


def test_layers_and_batches_replace_those_of_a_preset() -> None:
    workload = make_workload(preset="vit-b", layers="8x8", batches="3")
    assert workload.layers == (Layer(8, 8),)
    assert workload.cases == (Case(3, 1.0),)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no preset 'gpt'") as raised:
        make_workload(preset="gpt")
    assert raised.value.hint == "presets are tutorial, bert-base, vit-b, llama"


def test_the_weights_take_four_bytes_each_with_their_biases() -> None:
    assert make_workload().weight_bytes == 4 * (4096 * 4096 + 4096 + 4096 * 11008 + 11008 + 11008 * 10 + 10)


def test_the_heaviest_case_comes_first() -> None:
    assert [case.batch for case in heaviest_first(parse_batches("10,256,32"))] == [256, 32, 10]


def workload_of(layers: tuple[Layer, ...], chosen: list[int]) -> Workload:
    return Workload(layers=layers, cases=tuple(Case(batch, 1 / len(chosen)) for batch in chosen))


@given(stacks, st.integers(1, 600), st.integers(0, 600))
def test_a_product_goes_to_blas_unless_all_its_dimensions_exceed_the_threshold(
    layers: tuple[Layer, ...], batch: int, threshold: int
) -> None:
    workload = workload_of(layers, [batch])
    expected = {
        index
        for index, layer in enumerate(layers)
        if not (batch > threshold and layer.inputs > threshold and layer.outputs > threshold)
    }
    assert backend_split(workload, workload.cases[0], threshold) == expected


@given(stacks, batches, st.integers(0, 600))
def test_thresholds_with_the_same_dimensions_below_them_are_the_same(
    layers: tuple[Layer, ...], chosen: list[int], threshold: int
) -> None:
    workload = workload_of(layers, chosen)
    assume(threshold >= workload.dimensions[0])
    lowest = max(dimension for dimension in workload.dimensions if dimension <= threshold)
    for case in workload.cases:
        assert backend_split(workload, case, threshold) == backend_split(workload, case, lowest)


@settings(max_examples=50)
@given(stacks, batches)
def test_every_candidate_dimension_moves_a_product(layers: tuple[Layer, ...], chosen: list[int]) -> None:
    workload = workload_of(layers, chosen)
    for dimension in workload.dimensions:
        at, below = (
            [backend_split(workload, case, value) for case in workload.cases]
            for value in (dimension, dimension - 1)
        )
        assert at != below


@given(stacks, st.integers(1, 600), st.integers(8, 600), st.sampled_from([2, 3, 4, 5]))
def test_with_torchs_least_size_the_split_is_that_of_torchs_rule(
    layers: tuple[Layer, ...], batch: int, threshold: int, generation: int
) -> None:
    """m, k, n > T and m*k*n > S, where S stays torch's own: what it holds back is on BLAS by default."""
    machine = Machine(generation, 4, "madvise", TORCH_2_9_1)
    workload = workload_of(layers, [batch])
    chosen = machine.state({"TORCH_MKLDNN_MATMUL_MIN_DIM": str(threshold)})

    def blas(flag_off: frozenset[int], *, by_default: bool) -> set[int]:
        state = machine.default_state if by_default else chosen
        kernels = machine.kernels(state, workload, batch, flag_off)
        return {index for index, kernel in enumerate(kernels) if kernel is Kernel.BLAS}

    split = backend_split(workload, workload.cases[0], threshold)
    assert blas(split, by_default=True) == blas(frozenset(), by_default=False)
