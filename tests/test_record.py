"""Records: what is written is read back, and what is not a record is refused in one line."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from graviton_agent import __version__
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.errors import StateError
from graviton_agent.record import (
    RECORDS_KEPT,
    Record,
    keep_record,
    read_record,
)
from tests.records import HOST, WORKLOAD, changed, crashed, failed, partial, record_of
from tests.scripted_laboratory import ScriptedLaboratory


def test_the_documented_schema_is_that_of_the_record() -> None:
    documented = json.loads((Path(__file__).parent.parent / "docs/record.schema.json").read_text())
    assert documented == Record.model_json_schema(), "make schema"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of this test's own."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize("make", [changed, failed, crashed, partial])
def test_a_record_that_is_kept_is_read_back_as_it_was(make: Any, state: Path) -> None:
    record: Record = make()
    path = keep_record(record)
    assert path.parent == state / "records"
    assert read_record(path) == record


def test_results_that_are_not_finite_are_kept_as_such(state: Path) -> None:
    path = keep_record(failed())
    assert path.parent == state / "records"
    errors = [case.error for seen in read_record(path).observations for case in seen.observation.cases]
    assert math.inf in errors


@pytest.mark.parametrize("make", [changed, failed, crashed, partial])
def test_a_record_is_json_as_the_standard_has_it(make: Any) -> None:
    record: Record = make()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads(record.to_json(), parse_constant=refuse)


def test_the_keys_that_others_rely_on() -> None:
    written = json.loads(changed().to_json())
    assert {"host", "torch", "workload", "settings", "decision"} <= set(written)
    decision = written["decision"]
    assert decision["outcome"] == "change"
    assert decision["environment"] == {"DNNL_DEFAULT_FPMATH_MODE": "BF16"}
    assert decision["gain"] == pytest.approx(2.0)
    low, high = decision["gain_interval"]
    assert low < 2.0 < high
    assert "promised" in decision["reason"]
    assert written["host"]["product"] == "Graviton3"
    assert written["torch"]["version"] == "2.9.1"
    assert [case["batch"] for case in written["workload"]["cases"]] == [10, 256]
    assert {setting["variable"] for setting in written["settings"]} >= {"DNNL_DEFAULT_FPMATH_MODE"}


def test_without_a_change_there_is_no_environment() -> None:
    decision = json.loads(crashed().to_json())["decision"]
    assert (decision["outcome"], decision["environment"], decision["gain"]) == ("keep", {}, 1.0)


def test_every_trial_is_in_the_record_with_its_blocks() -> None:
    laboratory = ScriptedLaboratory(WORKLOAD)
    record = record_of(laboratory)
    assert len(record.trials) == len(laboratory.started)
    assert sum(len(trial.blocks) for trial in record.trials) == len(laboratory.blocks)


def test_every_refusal_and_failure_is_in_the_record() -> None:
    record = crashed()
    assert {trial.failure for trial in record.trials if trial.environment} == {
        "killed by SIGKILL, perhaps for memory"
    }
    assert record.refusals
    assert all(refusal.reason for refusal in record.refusals)


def test_an_interrupted_calibration_decided_nothing() -> None:
    record = partial()
    assert record.decision.outcome is Outcome.INCONCLUSIVE
    assert record.decision.reason == "interrupted"


def test_a_record_carries_its_format_and_who_wrote_it() -> None:
    written = json.loads(partial().to_json())
    assert (written["format"], written["agent"]) == (1, __version__)


def edited(tmp_path: Path, *keys: str | int, value: Any) -> Path:
    """A record with one value changed or added."""
    written = json.loads(changed().to_json())
    part = written
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path = tmp_path / "record.json"
    path.write_text(json.dumps(written))
    return path


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("format",), 2),
        (("extra",), 1),
        (("host", "extra"), 1),
        (("decision", "extra"), 1),
        (("rules", "extra"), 1),
        (("trials", 0, "blocks", 0, "extra"), 1),
        (("decision", "outcome"), "maybe"),
        (("decision", "gain_interval"), [1.0]),
        (("decision", "environment"), {"X": 1}),
        (("seed",), None),
        (("created",), "yesterday"),
    ],
)
def test_what_is_no_record_is_refused_with_the_place(
    tmp_path: Path, keys: tuple[str | int, ...], value: Any
) -> None:
    path = edited(tmp_path, *keys, value=value)
    with pytest.raises(StateError, match="is no calibration record") as raised:
        read_record(path)
    assert str(keys[0]) in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"\0" * 100, b"[" * 100_000])
def test_what_is_no_json_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(StateError, match="is no calibration record") as raised:
        read_record(path)
    assert "\n" not in raised.value.message


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"can't read .*record\.json: No such file or directory"):
        read_record(tmp_path / "record.json")


def test_records_are_kept_by_the_hundred(state: Path) -> None:
    first = partial()
    for number in range(RECORDS_KEPT + 3):
        keep_record(first.model_copy(update={"seed": number, "created": datetime(2026, 1, 1, tzinfo=UTC)}))
    kept = sorted(path.name for path in (state / "records").iterdir())
    assert len(kept) == RECORDS_KEPT
    assert kept[0] == "20260101T000000Z-00000003.json"


def test_two_calibrations_of_the_same_second_are_two_records(state: Path) -> None:
    first = partial()
    for seed in (1, 2):
        keep_record(first.model_copy(update={"seed": seed}))
    assert len(list((state / "records").iterdir())) == 2


def test_a_state_directory_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file"))
    with pytest.raises(StateError, match=r"file is no folder") as raised:
        keep_record(partial())
    assert raised.value.hint is not None


def test_the_environment_of_a_host_without_figures_is_read_back(state: Path) -> None:
    bare = replace(HOST, numa_nodes=(), caches=(), memory_available=None, instance_type=None, product=None)
    record = partial().model_copy(update={"host": bare})
    assert state is not None
    assert read_record(keep_record(record)).host == bare
