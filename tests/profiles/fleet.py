"""A fleet of two: the host that calibrates, and another that is to take up what it found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graviton_agent.profiles.adoption import Adoption, adopt
from graviton_agent.profiles.assessment import Assessment
from graviton_agent.profiles.fleet_folders import PACKAGED, FleetFolders
from graviton_agent.profiles.fleet_profile import FleetProfile, leave_host
from graviton_agent.profiles.subject import make_subject
from tests.configuration.tree import Tree
from tests.profiles.host import AgentHost, agent_host

STATUS = "Name:\tsystemd\nCpus_allowed:\tf\n"


@dataclass
class Fleet:
    """Both hosts."""

    golden: AgentHost
    other: AgentHost

    def found(self, **results: Any) -> FleetProfile:
        """What the golden host has to give."""
        return leave_host(self.golden.profile(**results))

    def bring(self, profile: FleetProfile | None = None, *, folder: str = PACKAGED, name: str = "") -> Path:
        """Puts it into a folder of the other host."""
        profile = profile or self.found()
        path = f"{folder.lstrip('/')}/{name or profile.name}"
        return self.other.tree.write(path, profile.to_json())

    def adopt(self) -> tuple[Adoption, ...]:
        """What the other host's unit makes of all that it finds."""
        host = self.other
        subject = make_subject(host.unit, host.managed, host.manager, host.root)
        return adopt(subject, host.facts, FleetFolders(host.root), host.root)

    def why_not(self) -> str:
        """Why the only profile doesn't hold."""
        (adoption,) = self.adopt()
        assert adoption.profile is None
        return "; ".join(adoption.differences)

    def assess(self, *profiles: Any, **given: Any) -> Assessment:
        """What the other host's unit gets."""
        return self.other.assess(*profiles, fleet=FleetFolders(self.other.root), **given)


def limited(tree: Tree) -> None:
    """Gives the slice that the unit runs in the limits that a calibration there saw."""
    tree.write("proc/1/status", STATUS)
    tree.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
    tree.write("sys/fs/cgroup/system.slice/cpu.max", "200000 100000\n")
    tree.write("sys/fs/cgroup/system.slice/memory.max", "8589934592\n")


def make_fleet(folder: Path) -> Fleet:
    """Two hosts that are alike. Their files are not the same files."""
    fleet = Fleet(agent_host(folder / "golden"), agent_host(folder / "other"))
    limited(fleet.other.tree)
    return fleet
