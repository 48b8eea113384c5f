"""The part of `graviton-agent calibrate` that is about units."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from graviton_agent import lock
from graviton_agent.cli.output import write_output
from graviton_agent.cli.progress import progress
from graviton_agent.cli.units import open_scene
from graviton_agent.control.calibration import Calibrated, Wishes, calibrate_unit
from graviton_agent.control.scene import Scene
from graviton_agent.control.writing import keep
from graviton_agent.errors import AgentError, ExitCode, UsageError
from graviton_agent.report.calibration import render
from graviton_agent.report.columns import INDENT
from graviton_agent.report.plan import render_kept
from graviton_agent.terminal import say, tell
from graviton_agent.units.bus import BusError


def calibrate_units(
    names: Sequence[str],
    wishes: Wishes,
    *,
    wait_seconds: float,
    dry_run: bool,
    output: Path | None,
    as_json: bool,
) -> ExitCode:
    """Calibrates one unit after the other. What is wrong with one costs the others nothing.

    Returns the exit code of the first that failed.
    """
    if output is not None and len(names) > 1:
        raise UsageError("--output holds one record", hint="name one unit, or leave --output out")
    with _scene() as scene:
        # Whoever mistypes the last name shouldn't wait for the first ones.
        units = list(dict.fromkeys(scene.require_managed(name).name for name in names))
        done: list[Calibrated] = []
        failures: list[AgentError] = []
        for unit in units:
            try:
                found = _calibrate(scene, unit, wishes, wait_seconds)
                done.append(found)
                # What was measured is told before a full disk may keep it from being kept.
                if not as_json:
                    tell(f"{unit}\n{render(found.record)}\n")
                words = _follow(scene, found, dry_run=dry_run)
            except AgentError as error:
                failures.append(error)
                if len(units) > 1:
                    say(f"graviton-agent: {unit}: {error.message}")
                continue
            if not as_json:
                tell(words)
    alone = len(units) == 1
    if as_json and (done or not alone):
        tell(_json(done, alone=alone))
    if output is not None and done:
        write_output(output, done[0].record.to_json().encode() + b"\n")
    if alone and failures:
        raise failures[0]
    return failures[0].exit_code if failures else ExitCode.OK


@contextlib.contextmanager
def _scene() -> Iterator[Scene]:
    try:
        with open_scene() as scene:
            yield scene
    except BusError as error:
        if error.name is not None:
            raise
        raise AgentError(
            f"calibrating a unit needs systemd, and {error.message}",
            hint="without systemd, name its Python: graviton-agent calibrate --python PATH",
        ) from None


def _calibrate(scene: Scene, unit: str, wishes: Wishes, wait_seconds: float) -> Calibrated:
    managed = scene.configuration.unit(unit)
    budget = wishes.budget_seconds or (managed.budget_seconds if managed else 0.0)
    with progress(budget) as narrate, lock.only_calibration(wait_seconds=wait_seconds, tell=narrate):
        return calibrate_unit(scene, unit, wishes, narrate)


def _follow(scene: Scene, found: Calibrated, *, dry_run: bool) -> str:
    """Keeps the profile and puts in place what follows from it; says so."""
    if dry_run:
        return f"{INDENT}A dry run: there is a record, and no profile."
    outlook = keep(scene.again(), found.profile, reverted=found.reverted)
    if outlook is None:
        return f"{INDENT}{found.profile.unit} is managed no more: its profile is kept for later."
    return render_kept(outlook)


def _json(done: Sequence[Calibrated], *, alone: bool) -> str:
    if alone:
        return done[0].record.to_json()
    records = {found.profile.unit: json.loads(found.record.to_json()) for found in done}
    return json.dumps(records, indent=1)
