"""Publishes what the daemon's last pass found as metrics. It looks at the units' processes for that."""

import contextlib
import time
from collections.abc import Mapping
from typing import NamedTuple

from graviton_agent import metrics
from graviton_agent.configuration.compiled import Configuration
from graviton_agent.errors import AgentError, StateError
from graviton_agent.host import Host
from graviton_agent.installed import ENVIRONMENT
from graviton_agent.metrics import unit_metrics
from graviton_agent.profiles.assessment import Assessment
from graviton_agent.root import Root
from graviton_agent.service.textfile import Textfile
from graviton_agent.units import environment_file
from graviton_agent.units.names import template_of
from graviton_agent.units.unit import Unit
from graviton_agent.units.verify import Expectation, Sync, verify

SETTLE_SECONDS = 1.0
"""How long a pass waits, for all units together, until what has just been started is no longer systemd's."""


class _Verified(NamedTuple):
    """What was found of a unit, and what it was compared with."""

    assessment: Assessment
    variables: Mapping[str, str]
    sync: Sync


class Publication:
    """Keeps the file of metrics up to date."""

    def __init__(self, root: Root, host: Host) -> None:
        """Takes where to look, and what this machine is."""
        self._root, self._host = root, host
        self._environment = root.path / ENVIRONMENT.lstrip("/")
        self._textfile = Textfile.of(root)
        self._known: dict[str, _Verified] = {}

    def publish(self, configuration: Configuration, seen: Mapping[str, tuple[Unit, Assessment]]) -> None:
        """Writes the metrics of the managed units among these, where they have changed. Raises StateError.

        Only the processes of units that were looked at since are read: a unit may have very many.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        self._known = {
            name: self._verified(name, unit, assessment, deadline)
            for name, (unit, assessment) in sorted(seen.items())
            if configuration.unit(name) is not None
        }
        units = [
            unit_metrics(name, found.assessment.application.state, found.sync, found.assessment.profile)
            for name, found in self._known.items()
        ]
        self._textfile.write(metrics.render(self._host, units, problems=len(configuration.problems)))

    def _verified(self, name: str, unit: Unit, assessment: Assessment, deadline: float) -> _Verified:
        variables = self._given(name)
        before = self._known.get(name)
        # Each look makes an assessment of its own; what an instance's template gives changes without one.
        if before and before.assessment is assessment and before.variables == variables:
            return before
        sync = Sync.NOT_RUNNING
        if assessment.subject is not None:
            expected = Expectation(variables, environment_file.changed(self._environment, name))
            held = assessment.subject.environment
            settle_seconds = max(0.0, deadline - time.monotonic())
            with contextlib.suppress(AgentError):
                found = verify(
                    unit, expected, held, environment_file.NAMES, self._root, settle_seconds=settle_seconds
                )
                sync = found.sync
        return _Verified(assessment, variables, sync)

    def _given(self, name: str) -> dict[str, str]:
        """What the agent's files give to a unit."""
        given: dict[str, str] = {}
        for one in filter(None, (template_of(name), name)):
            with contextlib.suppress(StateError):
                file = environment_file.read(self._environment, one)
                given |= file.environment if file else {}
        return given
