"""The worker's own functions, on real torch in this process, and with kernels planted in it."""

import math
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from graviton_agent.calibration import worker as module
from graviton_agent.calibration.worker import Network, Worker, kernels_in

LAYERS = ((16, 48), (48, 32), (32, 10))
BATCHES = (4, 24)

Linear = Callable[..., torch.Tensor]


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was() -> Iterator[None]:
    threads = torch.get_num_threads()
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)
    torch._C._set_mkldnn_enabled(True)


@pytest.fixture
def worker() -> Worker:
    loaded = Worker()
    loaded.load(factory="linear-stack", layers=LAYERS, batches=BATCHES, seed=7, cpus=None)
    return loaded


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Linear], None]:
    """Stands something in for torch's linear layer."""

    def plant(linear: Linear) -> None:
        monkeypatch.setattr(torch.nn.functional, "linear", linear)

    return plant


REAL_LINEAR: Linear = torch.nn.functional.linear


def rounded(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.bfloat16().float()


def fast_math(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """What torch does on a Graviton3 with bf16 fast math, above its threshold of 8."""
    if torch._C._get_mkldnn_enabled() and min(x.shape[0], *weight.shape) > 8:
        return REAL_LINEAR(rounded(x), rounded(weight), bias)
    return REAL_LINEAR(x, weight, bias)


def case(observation: dict[str, Any], batch: int) -> dict[str, Any]:
    return next(found for found in observation["cases"] if found["batch"] == batch)


# The network


def test_the_network_is_the_tutorial_s(worker: Worker) -> None:
    names = [type(part).__name__ for part in worker.network.module]
    assert names == ["Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]


def test_square_inputs_are_images_as_in_the_tutorial(worker: Worker) -> None:
    assert worker.network.inputs(24).shape == (24, 4, 4)


def test_other_inputs_are_rows() -> None:
    assert Network(torch, ((12, 3),), (2,), seed=1).inputs(2).shape == (2, 1, 12)


def test_weights_have_the_spread_of_torch_s_default() -> None:
    weight = Network(torch, ((400, 1000),), (1,), seed=1).linears[0].weight
    assert weight.abs().max() <= 1 / math.sqrt(400)
    assert weight.std().item() == pytest.approx(1 / math.sqrt(3 * 400), rel=0.01)
    assert abs(weight.mean().item()) < 1e-3


def test_no_two_rows_of_a_weight_are_equal() -> None:
    weight = Network(torch, ((8, 200_000),), (1,), seed=1).linears[0].weight
    assert len(weight.unique(dim=0)) == 200_000


def test_the_same_seed_gives_the_same_network(worker: Worker) -> None:
    again = Network(torch, LAYERS, BATCHES, seed=7)
    assert torch.equal(again.module(again.inputs(24)), worker.network.module(worker.network.inputs(24)))


def test_another_seed_gives_another_network(worker: Worker) -> None:
    other = Network(torch, LAYERS, BATCHES, seed=8)
    assert not torch.equal(other.linears[1].weight, worker.network.linears[1].weight)


def test_the_reference_is_the_network_in_float64(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small pieces, so that every layer is converted in several.
    monkeypatch.setattr(module, "REFERENCE_PIECE", 8 * 48 * 5)
    whole = worker.network.module.double()(worker.network.inputs(24).double())
    worker.network.module.float()
    assert torch.allclose(worker.network.reference(), whole, rtol=1e-12, atol=0)


# Blocks


def test_a_block_has_a_time_for_each_call(worker: Worker) -> None:
    block = worker.run(batch=24, blas_layers=[], threads=None, iterations=5)
    assert len(block["calls_ns"]) == 5
    assert sum(block["calls_ns"]) == block["elapsed_ns"]
    assert min(block["canary_ns"], block["cpu_ns"]) > 0


def test_the_flag_is_set_for_each_layer_alone(worker: Worker, plant: Callable[[Linear], None]) -> None:
    seen = []

    def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        seen.append(torch._C._get_mkldnn_enabled())
        return REAL_LINEAR(x, weight, bias)

    plant(linear)
    worker.run(batch=24, blas_layers=[1], threads=None, iterations=2)
    assert seen == [True, False, True] * 2


def test_a_split_forward_pass_computes_the_same_network(worker: Worker) -> None:
    x = worker.network.inputs(24)
    assert torch.equal(worker.network.forward_split(x, frozenset({0, 2})), worker.network.module(x))


@pytest.mark.parametrize("blas_layers", [[], [0], [2], [0, 1, 2]])
def test_the_flag_is_as_before_after_a_block(worker: Worker, blas_layers: list[int]) -> None:
    worker.run(batch=4, blas_layers=blas_layers, threads=None, iterations=1)
    assert torch._C._get_mkldnn_enabled()


@pytest.mark.parametrize("blas_layers", [[], [0]])
def test_a_torch_that_gives_onednn_up_is_a_failure(
    worker: Worker, plant: Callable[[Linear], None], blas_layers: list[int]
) -> None:
    def failing(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        if weight.shape[0] == 32:
            torch._C._set_mkldnn_enabled(False)
        return REAL_LINEAR(x, weight, bias)

    plant(failing)
    with pytest.raises(RuntimeError, match="torch switched oneDNN off by itself"):
        worker.run(batch=4, blas_layers=blas_layers, threads=None, iterations=1)


def test_threads_are_those_asked_for_during_the_block_and_the_former_ones_after(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    seen = set()

    def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        seen.add(torch.get_num_threads())
        return REAL_LINEAR(x, weight, bias)

    plant(linear)
    worker.run(batch=4, blas_layers=[], threads=worker.threads + 1, iterations=1)
    assert (seen, torch.get_num_threads()) == ({worker.threads + 1}, worker.threads)


# Observations


def test_where_onednn_takes_nothing_all_bits_are_those_of_blas(worker: Worker) -> None:
    observation = worker.observe()
    for found in observation["cases"]:
        if found["kernels"]:
            pytest.skip("oneDNN takes products of this size here")
        assert all(p["digest"] == p["blas_digest"] and p["stable"] for p in found["products"])


def test_fp32_is_as_exact_as_fp32(worker: Worker) -> None:
    for found in worker.observe()["cases"]:
        assert found["error"] < 1e-5
        assert found["worst_row_error"] < 1e-5
        assert found["cosine"] == pytest.approx(1.0, abs=1e-9)
        assert found["finite"]
        assert all(product["error"] < 1e-6 for product in found["products"])


def test_bf16_shows_in_the_bits_of_the_layers_above_the_threshold_and_in_their_error(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    plant(fast_math)
    observation = worker.observe()
    assert [p["digest"] != p["blas_digest"] for p in case(observation, 24)["products"]] == [True] * 3
    assert [p["digest"] != p["blas_digest"] for p in case(observation, 4)["products"]] == [False] * 3
    assert all(3e-4 < p["error"] < 2e-2 for p in case(observation, 24)["products"])
    assert all(p["error"] < 1e-6 for p in case(observation, 4)["products"])
    assert case(observation, 24)["error"] > 1e-4 > case(observation, 4)["error"]


def test_the_control_product_is_larger_than_any_threshold_in_question(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    sizes = set()

    def above_threshold(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        sizes.add(min(x.shape[0], *weight.shape))
        return REAL_LINEAR(x, weight, bias)

    plant(above_threshold)
    network = Network(torch, ((700, 650),), (640,), seed=1)
    worker.network = network
    worker.control()
    assert sizes == {641}


def test_a_flag_that_does_nothing_leaves_the_control_s_bits(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    # oneDNN never takes float64.
    plant(lambda x, weight, bias: REAL_LINEAR(x.double(), weight.double(), bias.double()).float())
    control = worker.control()
    assert control["control_digest"] == control["control_blas_digest"]


def test_a_flag_that_works_changes_the_control_s_bits(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    plant(fast_math)
    control = worker.control()
    assert control["control_digest"] != control["control_blas_digest"]


def test_a_flag_that_moves_nothing_but_the_bias_changes_the_control_s_bits(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    def bias_first(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        if not torch._C._get_mkldnn_enabled():
            return REAL_LINEAR(x, weight) + bias
        ones = torch.ones(len(x), 1)
        return REAL_LINEAR(torch.cat([ones, x], 1), torch.cat([bias.unsqueeze(1), weight], 1))

    plant(bias_first)
    control = worker.control()
    assert control["control_digest"] != control["control_blas_digest"]


def test_sums_that_differ_from_run_to_run_are_not_stable(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    turns = iter(range(1000))

    def unstable(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return REAL_LINEAR(x, weight, bias) * (1 + 1e-6 * next(turns))

    plant(unstable)
    assert not worker.product(1, 24)["stable"]


def test_output_that_is_not_finite_is_said_so_and_has_no_error(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    plant(lambda x, weight, bias=None: REAL_LINEAR(x, weight, bias) * math.nan)
    found = case(worker.observe(), 24)
    assert (found["finite"], found["error"], found["worst_row_error"]) == (False, None, None)


def test_one_wrong_row_shows_in_the_worst_row(worker: Worker) -> None:
    exact = worker.network.reference()
    output = exact.float()
    output[5] += 0.5 * exact[5].abs().max().float()
    found = worker.accuracy(output, exact)
    assert found["worst_row_error"] > 2 * found["error"] > 0


def test_a_winner_that_changes_on_a_clear_row_is_counted(worker: Worker) -> None:
    exact = torch.tensor([[0.0, 9.0, 1.0], [5.0, 4.99, 0.0], [7.0, 0.0, 1.0]], dtype=torch.float64)
    output = torch.tensor([[9.0, 0.0, 1.0], [4.99, 5.0, 0.0], [7.0, 0.0, 1.0]])
    found = worker.accuracy(output, exact)
    assert (found["argmax_flips"], found["argmax_rows"]) == (1, 2)


def test_a_network_with_one_output_has_no_winner(worker: Worker) -> None:
    exact = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    assert worker.accuracy(exact.float(), exact)["argmax_rows"] == 0


def test_a_single_output_is_measured_against_itself(worker: Worker) -> None:
    exact = torch.tensor([[2.0]], dtype=torch.float64)
    assert worker.accuracy(torch.tensor([[2.5]]), exact)["error"] == 0.25


def test_what_an_observation_needs_does_not_count_as_the_workload_s_memory(worker: Worker) -> None:
    memory = worker.observe()["memory"]
    assert 0 < memory["rss_anon"] <= memory["peak"]


def test_every_layer_s_inputs_are_the_same_whatever_the_layers_before_compute(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    before = [worker.network.product_inputs(layer, 24).clone() for layer in range(3)]
    plant(lambda x, weight, bias=None: REAL_LINEAR(x, weight, bias) * 2)
    worker.observe()
    for layer in range(3):
        assert torch.equal(worker.network.product_inputs(layer, 24), before[layer])


# oneDNN's log

ACL_BF16 = (
    "onednn_verbose,v1,primitive,exec,cpu,matmul,gemm:acl,undef,src:f32:a:blocked:ab::f0 "
    "wei:bf16:a:blocked:BA4b4a::f0 bia:f32:a:blocked:ab::f0_mask2 dst:f32:a:blocked:ab::f0,"
    "attr-fpmath:bf16,,32x512:512x256,1.5"
)
ACL_FP32 = (
    "onednn_verbose,v1,primitive,exec,cpu,matmul,gemm:acl,undef,src:f32:a:blocked:ab::f0 "
    "wei:f32:a:blocked:Ba8b::f0 dst:f32:a:blocked:ab::f0,attr-fpmath:bf16,,32x512:512x256,1.5"
)
REORDER = (
    "onednn_verbose,v1,primitive,exec,cpu,reorder,jit:blk,undef,src:f32:a:blocked:ba::f0 "
    "dst:bf16:a:blocked:BA4b4a::f0,,,512x256,0.2"
)
OLD = (
    "dnnl_verbose,exec,cpu,inner_product,gemm:jit,forward_inference,src_f32::blocked:ab:f0 "
    "wei_f32::blocked:ab:f0 bia_f32::blocked:a:f0 dst_f32::blocked:ab:f0,,,mb32ic512oc256,0.9"
)


@pytest.mark.parametrize(
    ("line", "kernels"),
    [
        (ACL_BF16, ["gemm:acl wei:bf16"]),
        (ACL_FP32, ["gemm:acl wei:f32"]),
        (OLD, ["gemm:jit wei:f32"]),
        (REORDER, []),
        (ACL_FP32.replace(",exec,", ",create:cache_miss,"), []),
        ("onednn_verbose,v1,info,oneDNN v3.7.1 (commit 8d263e693366ef8db40acc569cc7d8edf644556d)", []),
        ("onednn_verbose,exec", []),
        ("wei:f32: exec,a,b,c,d,e", []),
        ("", []),
    ],
)
def test_a_line_of_onednn_s_log(line: str, kernels: list[str]) -> None:
    assert kernels_in([line]) == kernels


def test_each_kernel_is_named_once() -> None:
    assert kernels_in([ACL_FP32, ACL_BF16, ACL_FP32]) == ["gemm:acl wei:bf16", "gemm:acl wei:f32"]


def test_what_is_printed_from_c_during_a_case_is_read_as_its_log(
    worker: Worker, plant: Callable[[Linear], None]
) -> None:
    def logging(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        os.write(1, (ACL_BF16 if x.shape[0] > 8 else "").encode() + b"\n")
        return REAL_LINEAR(x, weight, bias)

    plant(logging)
    observation = worker.observe()
    assert "gemm:acl wei:bf16" in case(observation, 24)["kernels"]
    assert "gemm:acl wei:bf16" not in case(observation, 4)["kernels"]


def test_the_real_log_of_a_product_that_onednn_takes_is_understood(worker: Worker) -> None:
    with worker.onednn_log() as log:
        torch.nn.functional.conv2d(torch.ones(1, 16, 64, 64), torch.ones(16, 16, 3, 3))
    assert [kernel.split()[1] for kernel in kernels_in(log)] == ["wei:f32"]


def test_onednn_is_quiet_outside_of_its_log(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    with worker.onednn_log():
        pass
    torch.nn.functional.conv2d(torch.ones(1, 16, 64, 64), torch.ones(16, 16, 3, 3))
    assert "onednn" not in capfd.readouterr().out


# Operators, memory, libraries


def test_the_operators_are_those_of_the_tutorial_s_table(worker: Worker) -> None:
    rows = {row["name"]: row for row in worker.operators(batch=24, warmup=1, iterations=4)["operators"]}
    assert rows["aten::addmm"]["calls"] == 12
    assert rows["aten::clamp_min"]["self_ns"] > 0
    assert rows["aten::linear"]["total_ns"] >= rows["aten::addmm"]["self_ns"]


def test_memory_grows_by_what_is_written(worker: Worker) -> None:
    before = worker.memory()["rss_anon"]
    kept = torch.ones(64 << 20, dtype=torch.uint8)
    assert worker.memory()["rss_anon"] - before == pytest.approx(len(kept), rel=0.1)


def test_a_library_is_searched_in_its_constants_alone() -> None:
    path = Path(torch.__file__).parent / "lib/libtorch_cpu.so"
    library = module.Library(str(path))
    assert library.end - library.start < path.stat().st_size / 4
    assert library.contains("TORCH_MKLDNN_MATMUL_MIN_DIM")
    assert not library.contains("TORCH_NO_SUCH_VARIABLE")


@pytest.mark.parametrize("content", [b"\x7fELF", b"x" * 100, b"\x7fELF\x02\x01\x01" + b"\xff" * 100])
def test_a_file_that_is_no_sound_elf_is_searched_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "libx.so").write_bytes(content + b"SOME_VARIABLE\0")
    assert module.Library(str(tmp_path / "libx.so")).contains("SOME_VARIABLE")


def test_the_torch_libraries_of_this_process_are_found() -> None:
    names = {library.name for library in module.loaded_libraries(torch.__file__)}
    assert {"libc10.so", "libtorch_cpu.so"} <= names
    assert not any("scipy" in name for name in names)


def test_they_are_found_where_torch_lies_behind_a_link(tmp_path: Path) -> None:
    # As /opt/app/current, which leads to a release.
    (tmp_path / "packages").symlink_to(Path(torch.__file__).parents[1])
    behind = module.loaded_libraries(str(tmp_path / "packages/torch/__init__.py"))
    assert {"libc10.so", "libtorch_cpu.so"} <= {library.name for library in behind}


def test_they_are_found_where_torch_is_made_of_links(tmp_path: Path) -> None:
    # As uv installs from its cache with --link-mode=symlink.
    file = tmp_path / "torch/__init__.py"
    file.parent.mkdir()
    file.symlink_to(torch.__file__)
    found = module.loaded_libraries(str(file))
    assert {"libc10.so", "libtorch_cpu.so"} <= {library.name for library in found}


def test_a_digest_is_of_all_bits() -> None:
    tensor = torch.zeros(5)
    negative = tensor.clone()
    negative[4] = -0.0
    assert module.digest(tensor) != module.digest(negative)
    assert module.digest(tensor.view(1, 5).expand(2, 5)) == module.digest(torch.zeros(2, 5))


def test_constants_are_found_where_the_section_table_says() -> None:
    with Path("/proc/self/exe").open("rb") as file:
        elf = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start, end = module.constants(elf)
    assert 0 < start < end < len(elf)
