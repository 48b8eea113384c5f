"""The report of a calibration: what a person reads, in 100 columns."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from graviton_agent.calibration.decision import CaseResult
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.calibration.trial import Operator
from graviton_agent.host import Verdict
from graviton_agent.record import OperatorTable, Record, RefusalRecord
from graviton_agent.report.calibration import headline, operator_table, render
from graviton_agent.torch_build import TorchBuild
from tests.records import HOST, changed, crashed, failed, partial
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0, TORCH_2_13_0_X86
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

X86 = host_of(Machine(None, 2, "madvise", TORCH_2_13_0_X86))
EVERYTHING = {
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "MIMALLOC_ALLOW_LARGE_OS_PAGES": "0",
    "OMP_NUM_THREADS": "32",
    "TORCH_MKLDNN_MATMUL_MIN_DIM": "117",
}


def case(batch: int, gain: float, kernels: tuple[str, ...] = ()) -> CaseResult:
    """The result of one batch, 100 ms by default."""
    return CaseResult(
        batch=batch,
        weight=0.5,
        default_ms=100.0,
        chosen_ms=100.0 / gain,
        gain=gain,
        gain_interval=(gain - 0.1, gain + 0.1),
        kernels=kernels,
        cosine=0.999993,
        error=2e-3,
    )


def with_decision(record: Record, **changes: object) -> Record:
    """The record with parts of its decision changed."""
    return record.model_copy(update={"decision": record.decision.model_copy(update=changes)})


def full() -> Record:
    """A record with as much in it as there can be."""
    record = with_decision(
        changed(),
        environment=EVERYTHING,
        cases=(
            case(10, 4.01),
            case(1048576, 2.42, ("brg:sve_512 wei:bf16", "gemm:acl wei:bf16", "jit:bf16 wei:bf16")),
        ),
    )
    refusals = (RefusalRecord(environment=EVERYTHING, reason="killed by SIGKILL, perhaps for memory"),)
    table = OperatorTable(
        environment=EVERYTHING,
        batch=1048576,
        rows=(Operator("aten::scaled_dot_product_flash_attention_for_cpu_backward", 300, 900, 1000),),
    )
    return record.model_copy(update={"refusals": refusals, "operators": (table,)})


@pytest.mark.parametrize("make", [changed, failed, crashed, partial, full])
def test_no_line_is_wider_than_100_columns(make: Callable[[], Record]) -> None:
    assert [line for line in render(make()).splitlines() if len(line) > 100] == []


@pytest.mark.parametrize("make", [changed, failed, crashed, partial, full])
def test_no_line_ends_in_blanks_and_none_is_lost_between_parts(make: Callable[[], Record]) -> None:
    printed = render(make())
    assert printed == printed.strip("\n")
    assert "\n\n\n" not in printed
    assert [line for line in printed.splitlines() if line != line.rstrip()] == []


def test_the_chosen_variables_stand_in_lines_of_their_own() -> None:
    lines = render(full()).splitlines()
    for name, value in EVERYTHING.items():
        assert f"  {name}={value}" in lines


def test_a_change_shows_each_batch_with_its_gain_and_interval() -> None:
    printed = render(with_decision(changed(), cases=(case(10, 4.0), case(256, 2.5, ("gemm:acl wei:bf16",)))))
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "10 100.0 ms 25.0 ms 4.00x (3.90 - 4.10) OpenBLAS fp32" in lines
    assert "256 100.0 ms 40.0 ms 2.50x (2.40 - 2.60) gemm:acl wei:bf16, cosine 0.99999" in lines


def test_a_change_says_the_gain_of_the_mix_and_what_is_promised() -> None:
    printed = " ".join(render(changed()).split())
    assert "Change: 2.00x (" in printed
    assert "is promised" in printed


def test_where_the_default_stays_no_gain_is_shown() -> None:
    printed = render(crashed())
    assert "Keep the default:" in printed
    assert "x (" not in printed


def test_what_was_not_decided_is_said_with_the_reason() -> None:
    record = with_decision(crashed(), outcome=Outcome.INCONCLUSIVE, reason="pairs differ by 12 %")
    assert "Inconclusive, so the default stays: pairs differ by 12 %." in render(record)


@pytest.mark.parametrize("make", [changed, failed, crashed])
def test_every_setting_that_was_left_alone_has_its_sentence(make: Callable[[], Record]) -> None:
    record = make()
    printed = " ".join(render(record).split())
    left = [setting for setting in record.settings if setting.value is None]
    assert left
    for setting in left:
        assert f"{setting.variable} {setting.reason}" in printed


def test_what_was_refused_is_listed_with_its_reason() -> None:
    printed = render(crashed())
    assert "refused" in printed
    assert "killed by SIGKILL, perhaps for memory" in printed
    refused = [" ".join(f"{n}={v}" for n, v in one.environment.items()) for one in crashed().refusals]
    assert all(words in printed for words in refused)


def test_on_another_machine_it_says_that_nothing_would_be_written() -> None:
    elsewhere = changed().model_copy(update={"host": X86})
    assert "Nothing would be written on this machine: simulated" in render(elsewhere)
    assert "Nothing would be written" not in render(changed())


def test_the_seed_is_printed() -> None:
    assert "seed 5" in render(changed())


# The headline


def test_the_headline_names_machine_and_build() -> None:
    assert headline(HOST, TORCH_2_9_1).splitlines() == [
        "c7g.xlarge   Graviton3   4 CPUs   THP madvise",
        "torch 2.9.1   oneDNN 3.7.1 + ACL 25.02   OpenBLAS 0.3.30",
    ]


@pytest.mark.parametrize("build", [TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0, TORCH_2_13_0_X86])
@pytest.mark.parametrize(
    "host",
    [HOST, X86, replace(X86, model_name="X" * 48)],
)
def test_a_headline_that_does_not_fit_takes_two_lines(build: TorchBuild, host: object) -> None:
    assert isinstance(host, type(HOST))
    lines = headline(host, build).splitlines()
    assert len(lines) <= 2
    assert all(len(line) <= 100 for line in lines)
    assert f"torch {build.version}" in lines[-1]


def test_what_is_known_to_be_no_graviton_and_what_is_not_known_are_told_apart() -> None:
    assert "not a Graviton" in headline(X86, TORCH_2_13_0_X86)
    unknown = replace(X86, verdict=Verdict.UNKNOWN)
    assert "not known to be a Graviton" in headline(unknown, TORCH_2_13_0_X86)


def test_a_build_without_onednn_is_shown_as_such() -> None:
    bare = replace(TORCH_2_13_0_X86, onednn=None, blas="unknown", blas_version=None)
    assert "no oneDNN   unknown" in headline(X86, bare)


# Operators


def test_operators_stand_with_their_share_of_the_time() -> None:
    rows = (
        Operator("aten::addmm", 300, 750_000_000, 800_000_000),
        Operator("aten::clamp_min", 200, 250_000_000, 0),
    )
    lines = operator_table(OperatorTable(environment={}, batch=32, rows=rows)).splitlines()
    assert lines[0] == "  batch 32, default"
    assert lines[2].split() == ["aten::addmm", "75.0", "%", "750.0", "ms", "300"]
    assert lines[3].split() == ["aten::clamp_min", "25.0", "%", "250.0", "ms", "200"]


@pytest.mark.parametrize("rows", [(), (Operator("aten::addmm", 1, 0, 0),)])
def test_a_table_of_operators_that_took_no_time_is_printed(rows: tuple[Operator, ...]) -> None:
    printed = operator_table(OperatorTable(environment={}, batch=32, rows=rows))
    assert len(printed.splitlines()) == 2 + len(rows)
