"""What doesn't fit is refused in plain words, before anything is started."""

from dataclasses import replace

import pytest

from graviton_agent.calibration.memory import RUNTIME_BYTES, check_memory, need_of
from graviton_agent.errors import ExitCode, ResourceError
from graviton_agent.host import Host
from graviton_agent.root import MIB
from graviton_agent.workload import PRESETS, make_workload
from tests.records import HOST

GIB = 1024 * MIB
TUTORIAL = make_workload()
NEED = need_of(TUTORIAL)


def with_memory(available: int | None, limit: int | None = None) -> Host:
    """A host with so many bytes free."""
    return replace(HOST, memory_available=available, memory_limit=limit)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_process_needs_more_than_its_model_and_two_models_are_resident_at_a_time(preset: str) -> None:
    workload = make_workload(preset=preset)
    need = need_of(workload)
    assert need.each > RUNTIME_BYTES + workload.weight_bytes + workload.activation_bytes
    assert need.total == 2 * need.each
    assert need_of(replace(workload, processes=4)).total == 4 * need.total


@pytest.mark.parametrize(
    ("host", "asked", "words"),
    [
        (with_memory(GIB // 4), None, "this host has free 256 MiB"),
        (with_memory(64 * GIB, GIB // 2), None, "the control group allows 512 MiB"),
        (with_memory(64 * GIB), GIB // 8, "--memory-limit allows 128 MiB"),
        (with_memory(1), GIB // 8, "this host has free 0 MiB"),
    ],
)
def test_the_tightest_bound_is_named_with_what_is_needed_and_why(
    host: Host, asked: int | None, words: str
) -> None:
    with pytest.raises(ResourceError) as raised:
        check_memory(TUTORIAL, host, asked=asked)
    assert raised.value.message == (
        "calibrating this model needs 2.0 GiB (2 processes side by side, each with 350 MiB for Python and "
        "torch, 236 MiB of weights, 344 MiB for the float64 reference, 102 MiB for inputs and outputs), and "
        + words
    )
    assert raised.value.exit_code == ExitCode.RESOURCES


def test_what_fits_is_not_refused() -> None:
    check_memory(TUTORIAL, with_memory(NEED.total, NEED.total), asked=NEED.total, each={"it": NEED.each})
    check_memory(TUTORIAL, with_memory(None))


def test_a_limit_of_each_process_is_compared_with_what_one_needs() -> None:
    """Two arms of a pair have the unit's limit each, so that it need not hold both."""
    each = {"MemoryMax= of llm.service": NEED.each}
    check_memory(TUTORIAL, with_memory(64 * GIB, NEED.each), each=each)
    with pytest.raises(ResourceError, match=r"each process .* MemoryMax= of llm\.service"):
        check_memory(TUTORIAL, with_memory(64 * GIB), each={"MemoryMax= of llm.service": NEED.each - 1})


def test_a_limit_above_the_units_own_holds_for_both_together() -> None:
    with pytest.raises(ResourceError, match="the control group allows"):
        check_memory(TUTORIAL, with_memory(64 * GIB, NEED.each), each={"MemoryMax= of llm.service": 64 * GIB})
