"""What the daemon says of itself."""

from dataclasses import replace
from typing import Any

import pytest

from graviton_agent.configuration.compiled import Calibrate
from graviton_agent.profiles.application import State
from graviton_agent.service.status import Doing, status
from graviton_agent.service.upkeep import Overview, View
from tests.profiles.host import configuration

APPLIED = View(
    name="llm.service",
    state=State.APPLIED,
    reason="at least 1.28x as fast",
    policy=Calibrate.WHEN_QUIET,
    budget_seconds=90.0,
    is_running=True,
    wants_calibration=False,
    has_file=True,
)


def view(name: str, state: State = State.APPLIED, **facts: Any) -> View:
    wants = state in {State.UNCALIBRATED, State.STALE}
    usual = {"wants_calibration": wants, "has_file": state is State.APPLIED}
    return replace(APPLIED, name=name, state=state, **{**usual, **facts})


def overview(*views: View, **facts: Any) -> Overview:
    return replace(Overview(configuration(), None, {view.name: view for view in views}), **facts)


@pytest.mark.parametrize(
    ("found", "doing", "words"),
    [
        (overview(view("a"), view("b")), Doing(), "measured values for 2 of 2 units"),
        (overview(view("a")), Doing(), "measured values for 1 of 1 unit"),
        (
            overview(view("a"), view("b", State.DEFAULT), view("c", State.INCONCLUSIVE)),
            Doing(),
            "measured values for 1 of 3 units; 1 best on default values; 1 too noisy to say",
        ),
        (
            overview(view("a", State.HELD), view("b", State.REVERTED), view("c", State.UNFIT)),
            Doing(),
            "measured values for 0 of 3 units; 1 decided by the operator; 1 reverted; 1 can't be managed",
        ),
        (
            overview(view("a", State.UNCALIBRATED)),
            Doing(next="a"),
            "measured values for 0 of 1 unit; next a, when the host is quiet",
        ),
        (
            overview(view("a", State.STALE)),
            Doing(next="a", busy="load 0.50 per CPU, above 0.2"),
            "measured values for 0 of 1 unit; next a, when the host is quiet: load 0.50 per CPU, above 0.2",
        ),
        (
            overview(view("a", State.UNCALIBRATED)),
            Doing(calibrating="a", next="b"),
            "measured values for 0 of 1 unit; calibrating a",
        ),
        (
            overview(view("a", State.UNCALIBRATED, policy=Calibrate.MANUAL)),
            Doing(),
            "measured values for 0 of 1 unit; 1 to be calibrated by hand",
        ),
        (
            overview(view("a", State.STALE, policy=Calibrate.BEFORE_START, is_running=False)),
            Doing(),
            "measured values for 0 of 1 unit; 1 to be calibrated before the next start",
        ),
        (
            overview(view("a", State.UNCALIBRATED)),
            Doing(failed=1),
            "measured values for 0 of 1 unit; 1 failed to calibrate, to be tried again later",
        ),
        (overview(), Doing(), "no unit is managed"),
        (
            overview(configuration=replace(configuration(), enabled=False)),
            Doing(),
            "switched off (enabled = false): writing nothing",
        ),
        (
            overview(view("a", State.NOT_GRAVITON), not_graviton="The CPUs are x86."),
            Doing(),
            "not known to be a Graviton, so watching and writing nothing: The CPUs are x86.",
        ),
        (
            overview(view("a"), configuration=replace(configuration(), problems=("x", "y"))),
            Doing(),
            "measured values for 1 of 1 unit; 2 errors in the configuration: graviton-agent config check",
        ),
        (
            overview(view("a")),
            Doing(problem="the system bus can't be reached (gone)"),
            "the system bus can't be reached (gone); environment files stay as they are",
        ),
        (None, Doing(), "looking at the units"),
    ],
)
def test_it_says_how_things_stand(found: Overview | None, doing: Doing, words: str) -> None:
    assert status(found, doing) == words
