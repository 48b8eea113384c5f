"""Publishes what the daemon's last pass found as metrics. It looks at the units' processes for that."""

import contextlib
from collections.abc import Mapping

from graviton_agent import metrics
from graviton_agent.configuration.compiled import Configuration
from graviton_agent.errors import AgentError, StateError
from graviton_agent.host import Host
from graviton_agent.installed import ENVIRONMENT
from graviton_agent.metrics import UnitMetrics, unit_metrics
from graviton_agent.profiles.assessment import Assessment
from graviton_agent.root import Root
from graviton_agent.service.textfile import Textfile
from graviton_agent.units import environment_file
from graviton_agent.units.names import template_of
from graviton_agent.units.unit import Unit
from graviton_agent.units.verify import Expectation, Sync, verify


class Publication:
    """Keeps the file of metrics up to date."""

    def __init__(self, root: Root, host: Host) -> None:
        """Takes where to look, and what this machine is."""
        self._root, self._host = root, host
        self._environment = root.path / ENVIRONMENT.lstrip("/")
        self._textfile = Textfile.of(root)

    def publish(self, configuration: Configuration, seen: Mapping[str, tuple[Unit, Assessment]]) -> None:
        """Writes the metrics of the managed units among these, where they have changed. Raises StateError."""
        units = [
            self._metrics(name, unit, assessment)
            for name, (unit, assessment) in sorted(seen.items())
            if configuration.unit(name) is not None
        ]
        self._textfile.write(metrics.render(self._host, units, problems=len(configuration.problems)))

    def _metrics(self, name: str, unit: Unit, assessment: Assessment) -> UnitMetrics:
        sync = Sync.NOT_RUNNING
        if assessment.subject is not None:
            expected: dict[str, str] = {}
            for one in filter(None, (template_of(name), name)):
                with contextlib.suppress(StateError):
                    file = environment_file.read(self._environment, one)
                    expected |= file.environment if file else {}
            expectation = Expectation(expected, environment_file.changed(self._environment, name))
            held = assessment.subject.environment
            with contextlib.suppress(AgentError):
                sync = verify(unit, expectation, held, environment_file.NAMES, self._root).sync
        return unit_metrics(name, assessment.application.state, sync, assessment.profile)
