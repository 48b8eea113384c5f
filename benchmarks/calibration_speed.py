"""How long `graviton-agent calibrate` takes for the tutorial's three batches, against the tutorial by hand.

By hand is what the tutorial does: four settings, three batches, 150 passes each, a fresh process for each of
the twelve. Calibrations and processes alternate, so that a change of the machine's speed meets both. Each is
written down when it is done, and a later run goes on behind it. The goals: a median of 60 s, never above
90 s, at least 4 times faster than by hand, never more than two models resident, and one decision in all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.about import about
from graviton_agent.workload import make_workload

SOURCE = Path(__file__).parent.parent / "agent"
RESULTS = Path(__file__).parent / "results"
CALIBRATIONS = 10
SAMPLE_SECONDS = 0.2
MEDIAN_GOAL, CAP, RATIO_GOAL, MODELS_GOAL = 60.0, 90.0, 4.0, 2

BF16 = {"DNNL_DEFAULT_FPMATH_MODE": "BF16"}
HUGE_PAGES = BF16 | {"THP_MEM_ALLOC_ENABLE": "1"}
THRESHOLD = HUGE_PAGES | {"TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}
SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "bf16": BF16,
    "bf16, huge pages": HUGE_PAGES,
    "bf16, huge pages, threshold 64": THRESHOLD,
}
BATCHES = tuple(case.batch for case in make_workload().cases)
Line = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One calibration, or one of the tutorial's processes."""

    name: str
    command: tuple[str, ...]
    variables: dict[str, str]
    calibrates: bool


def tasks() -> list[Task]:
    """All the work in its order: calibrations with the tutorial's processes between them."""
    by_hand = [
        Task(f"by hand: {words}, batch {batch}", ("benchmarks/tutorial_by_hand.py", str(batch)), own, False)
        for words, own in SETTINGS.items()
        for batch in BATCHES
    ]
    calibrate = ("-m", "graviton_agent", "calibrate", "--json", "--seed")
    calibrations = [Task(f"calibration {n}", (*calibrate, str(n)), {}, True) for n in range(CALIBRATIONS)]
    longest = max(len(by_hand), len(calibrations))
    return [task for n in range(longest) for task in (*calibrations[n : n + 1], *by_hand[n : n + 1])]


@dataclass
class Memory:
    """The most that a command's child processes were seen to occupy."""

    bytes: int = 0
    """Anonymous memory of all of them together."""
    models: int = 0
    """How many held the network's weights at once."""
    largest: int = 0
    """Anonymous memory of the largest."""

    def look(self, parent: int) -> None:
        """Looks at the children now."""
        found = [memory for child in children(parent) if (memory := anonymous(child))]
        self.bytes = max(self.bytes, sum(found))
        self.largest = max(self.largest, *found, 0)
        self.models = max(self.models, sum(memory >= make_workload().weight_bytes for memory in found))


def children(parent: int) -> Iterator[int]:
    """The processes that a process has started and that live [proc_pid_stat(5)]."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text()
        except OSError:
            continue
        if int(status.rpartition(")")[2].split()[1]) == parent:
            yield int(folder.name)


def anonymous(process: int) -> int:
    """RssAnon in bytes; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def run(task: Task) -> Line:
    """Runs one task and times it from start to end."""
    memory = Memory()
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, **task.variables, "PYTHONPATH": str(SOURCE), "STATE_DIRECTORY": state}
        began = time.monotonic()
        process = subprocess.Popen(
            (sys.executable, *task.command),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=SOURCE.parent,
        )
        try:
            output = read(process, memory if task.calibrates else None)
        finally:
            process.kill()
            process.wait()
        seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{task.name} ended with exit code {process.returncode}")
    line: Line = {"task": task.name, "about": about(), "seconds": round(seconds, 2)}
    if task.calibrates:
        record = json.loads(output)
        decision = record["decision"]
        line |= {
            name: decision[name] for name in ("outcome", "environment", "gain", "gain_interval", "reason")
        }
        line |= {"torch": record["torch"]["version"], "starts": len(record["trials"]), "memory": vars(memory)}
        line["phases"] = phases(record)
    return line


def read(process: "subprocess.Popen[bytes]", memory: Memory | None) -> bytes:
    """Waits for a process's output, and looks at its children's memory meanwhile."""
    while True:
        if memory is not None:
            memory.look(process.pid)
        try:
            return process.communicate(timeout=SAMPLE_SECONDS if memory is not None else None)[0]
        except subprocess.TimeoutExpired:
            continue


def phases(record: dict[str, Any]) -> dict[str, float]:
    """Seconds of trials by purpose; trials that ran side by side began and ended together."""
    found: Counter[str] = Counter()
    trials = record["trials"]
    for before, trial in zip([None, *trials], trials, strict=False):
        # Two of one launch stand behind each other and have the same length but for the time of stopping.
        paired = before is not None and abs(before["seconds"] - trial["seconds"]) < 0.05
        if not paired:
            found[trial["purpose"]] += trial["seconds"]
    return {purpose: round(seconds, 1) for purpose, seconds in found.items()}


def report(lines: Sequence[Line], folder: Path) -> None:
    """Writes calibration_speed.json and calibration_speed.md."""
    calibrations = [line for line in lines if "outcome" in line]
    by_hand = [line for line in lines if "outcome" not in line]
    if not calibrations:
        return
    times = sorted(line["seconds"] for line in calibrations)
    decisions = Counter(_decided(line) for line in calibrations)
    models = max(line["memory"]["models"] for line in calibrations)
    most = max(line["memory"]["bytes"] for line in calibrations)
    hand = sum(line["seconds"] for line in by_hand)
    complete = len(by_hand) == len(SETTINGS) * len(BATCHES)
    ratio = hand / statistics.median(times)
    rows = [
        ("median", f"{statistics.median(times):.1f} s", f"{MEDIAN_GOAL:.0f} s"),
        ("longest", f"{times[-1]:.1f} s", f"{CAP:.0f} s"),
        ("tutorial by hand", f"{hand:.0f} s" if complete else f"{len(by_hand)} processes so far", ""),
        ("times faster", f"{ratio:.1f}" if complete else "", f"{RATIO_GOAL:.0f}"),
        ("models resident at once", str(models), str(MODELS_GOAL)),
        ("anonymous memory of all workers", f"{most / 1e6:.0f} MB", ""),
        ("same decision", f"{max(decisions.values())} of {len(calibrations)}", f"{len(calibrations)}"),
    ]
    facts = {"torch": calibrations[-1]["torch"], **lines[-1]["about"]}
    text = ["# Speed of a calibration of the tutorial's network", ""]
    text += [f"- {name}: {value}" for name, value in facts.items()]
    text += ["", "| what | found | goal |", "|---|---|---|"]
    text += [f"| {' | '.join(row)} |" for row in rows]
    text += ["", "## Calibrations", "", "| decision | how often |", "|---|---|"]
    text += [f"| {decision} | {count} |" for decision, count in decisions.most_common()]
    text += [
        "",
        "| calibration | seconds | processes | by purpose | decision | gain |",
        "|---|---|---|---|---|---|",
    ]
    text += [
        f"| {line['task']} | {line['seconds']:.1f} | {line['starts']} | "
        f"{', '.join(f'{purpose} {seconds:.1f}' for purpose, seconds in line['phases'].items())} | "
        f"{_decided(line)} | {line['gain']:.3f} ({_interval(line)}) |"
        for line in calibrations
    ]
    text += ["", "## By hand", "", "| process | seconds |", "|---|---|"]
    text += [f"| {line['task'].partition(': ')[2]} | {line['seconds']:.1f} |" for line in by_hand]
    (folder / "calibration_speed.md").write_text("\n".join(text) + "\n")
    (folder / "calibration_speed.json").write_text(
        json.dumps({"about": facts, "tasks": lines}, indent=1) + "\n"
    )
    print("\n".join(f"{what:32} {found:>14}  goal {goal}" for what, found, goal in rows))


def _decided(line: Line) -> str:
    variables = " ".join(f"{name}={value}" for name, value in line["environment"].items())
    return f"{line['outcome']} {variables}".strip()


def _interval(line: Line) -> str:
    low, high = line["gain_interval"]
    return f"{low:.3f} - {high:.3f}"


def main() -> None:
    """Does what is left of the work, or a slice of it, and reports what is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slice", type=int, help="do so many more tasks and end (default: all)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    journal = options.output / "calibration_speed.jsonl"
    lines = [json.loads(text) for text in journal.read_text().splitlines()] if journal.exists() else []
    done = {line["task"] for line in lines}
    for task in [task for task in tasks() if task.name not in done][: options.slice]:
        lines.append(run(task))
        with journal.open("a") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(f"{task.name}: {lines[-1]['seconds']:.1f} s", flush=True)
    report(lines, options.output)


if __name__ == "__main__":
    main()
