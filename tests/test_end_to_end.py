"""`graviton-agent calibrate` as a process of its own, on real torch with small layers, and under signals."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from graviton_agent.lock import only_calibration
from graviton_agent.record import Record, read_record
from graviton_agent.report.calibration import render
from graviton_agent.settings.catalogue import CATALOGUE
from tests.calibration.stand_ins import Marked, within
from tests.cli.command import PROGRESS
from tests.make_believe import OPTIONS, make_believe

# The command itself, but for its lock: calibrations of this host must not hold up its tests.
_COMMAND = """
import functools, os, pathlib, sys
from graviton_agent import lock
from graviton_agent.cli.main import main
own = pathlib.Path(os.environ["LOCK"])
lock.only_calibration = functools.partial(lock.only_calibration, path=own)
sys.exit(main())
"""


@dataclass
class Host:
    """Where commands are started: a state directory, and a mark by which every process is found."""

    state: Path
    marked: Marked
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def lock(self) -> Path:
        """A lock of its own."""
        return self.state.parent / "locks" / "calibration"

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Starts `graviton-agent ARGUMENTS`."""
        process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **self.marked.environment,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "STATE_DIRECTORY": str(self.state),
                "LOCK": str(self.lock),
            },
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Ends what a failed test left running."""
        for process in self.started:
            process.kill()
            process.communicate()

    @property
    def records(self) -> list[Path]:
        """What was kept."""
        folder = self.state / "records"
        return sorted(folder.iterdir()) if folder.exists() else []

    def record(self) -> Record:
        """The one record that was kept."""
        (path,) = self.records
        return read_record(path)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    found = Host(tmp_path / "state", Marked())
    yield found
    found.end()


def progress_until(process: "subprocess.Popen[str]", words: str) -> None:
    """Reads standard error up to a line with these words."""
    assert process.stderr is not None
    for line in process.stderr:
        assert PROGRESS.fullmatch(line.rstrip("\n")), line
        if words in line:
            return
    raise AssertionError(f"it ended before {words!r}")


# Real torch


def test_a_calibration_on_real_torch(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    process = host.start(
        *("calibrate", "--layers", "64x512,512x10", "--batch", "4:0.25,40:0.75", "--budget", "60"),
        *("--settings", "bf16,threshold", "--seed", "1", "--json", "--output", file),
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert all(PROGRESS.fullmatch(line) for line in err.splitlines()), err
    assert "screening: default" in err

    written = json.loads(out)
    decision = written["decision"]
    assert {"host", "torch", "workload", "settings", "decision"} <= set(written)
    assert decision["outcome"] in {"change", "keep", "inconclusive"}
    assert bool(decision["environment"]) == (decision["outcome"] == "change")
    low, high = decision["gain_interval"]
    assert low <= decision["gain"] <= high
    assert decision["reason"]
    assert [(case["batch"], case["weight"]) for case in decision["cases"]] == [(4, 0.25), (40, 0.75)]
    assert all(case["default_ms"] > 0 for case in decision["cases"])
    assert {setting["setting"] for setting in written["settings"]} == {setting.name for setting in CATALOGUE}
    assert all(setting["reason"] for setting in written["settings"])
    assert written["torch"]["interpreter"] == sys.executable
    assert written["seed"] == 1

    record = host.record()
    assert record == Record.model_validate_json(out) == read_record(file)
    assert max(len(line) for line in render(record).splitlines()) <= 100
    assert host.marked.vanish()


def test_ctrl_c_leaves_no_worker_and_keeps_what_was_measured(host: Host) -> None:
    process = host.start("calibrate", "--layers", "512x512,512x10", "--batch", "4,40", "--budget", "60")
    progress_until(process, "screening: default")
    # The workers are there once they are told to run, each in a session of its own.
    assert within(60, lambda: len(host.marked.processes()) >= 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "graviton-agent: interrupted"
    assert "Traceback" not in err
    assert out == ""
    assert host.marked.vanish()
    assert host.record().decision.reason == "interrupted"


# Signals at every step, with an interpreter that takes its time


SLOW = "time.sleep(0.02) if name == 'run' else None"


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGINT, (130, "interrupted")), (signal.SIGTERM, (143, "terminated"))]
)
@pytest.mark.parametrize("step", ["screening", "confirming"])
def test_a_signal_ends_a_calibration_wherever_it_is(
    host: Host, tmp_path: Path, number: int, ending: tuple[int, str], step: str
) -> None:
    process = host.start("calibrate", *OPTIONS, "--python", make_believe(tmp_path, SLOW), "--json")
    progress_until(process, step)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    code, words = ending
    assert (process.returncode, out) == (code, "")
    assert [line for line in err.splitlines() if not PROGRESS.fullmatch(line)] == [f"graviton-agent: {words}"]
    assert host.marked.vanish()
    record = host.record()
    assert (record.decision.outcome, record.decision.reason) == ("inconclusive", "interrupted")
    assert record.trials or step == "screening"


def test_a_signal_before_anything_was_measured_keeps_nothing(host: Host, tmp_path: Path) -> None:
    hangs = "time.sleep(60) if name == 'probe' else None"
    process = host.start("calibrate", *OPTIONS, "--python", make_believe(tmp_path, hangs))
    progress_until(process, "asking the interpreter")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert host.marked.vanish()
    assert host.records == []


def test_a_killed_agent_leaves_no_worker(host: Host, tmp_path: Path) -> None:
    process = host.start("calibrate", *OPTIONS, "--python", make_believe(tmp_path, SLOW))
    progress_until(process, "confirming")
    process.kill()
    process.communicate(timeout=60)
    assert host.marked.vanish()


def test_a_second_calibration_waits_for_the_first(host: Host, tmp_path: Path) -> None:
    interpreter = make_believe(tmp_path, SLOW)
    with only_calibration(wait_seconds=0, tell=pytest.fail, path=host.lock):
        second = host.start("calibrate", *OPTIONS, "--python", interpreter, "--json")
        progress_until(second, f"another calibration (process {os.getpid()}) is running")
    out, _ = second.communicate(timeout=120)
    assert json.loads(out)["decision"]["reason"]
    assert len(host.records) == 1


def test_the_report_of_a_calibration_is_what_its_record_says(host: Host, tmp_path: Path) -> None:
    process = host.start("calibrate", *OPTIONS, "--python", make_believe(tmp_path), "--operators")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == render(host.record()) + "\n"
    assert "aten::addmm" in out
