"""A whole machine for the commands: a Graviton's tree, its configuration, its units, and PID 1."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graviton_agent.control.scene import Scene
from graviton_agent.installed import CALIBRATED, ENVIRONMENT, SERVICE
from graviton_agent.profiles.profile import Profile
from graviton_agent.profiles.store import ProfileStore
from graviton_agent.root import Root
from graviton_agent.units.unit import read_unit
from tests.control.systemd import INVOCATION, FakeBus, properties, running
from tests.profiles.host import AgentHost, agent_host

PID = 4242
UNIT = "llm.service"
SECTION = '[units."{}"]\nallow_bf16 = true\n'


@dataclass
class Managed:
    """The machine, which tests change."""

    host: AgentHost
    bus: FakeBus

    @property
    def root(self) -> Root:
        return self.host.root

    @property
    def store(self) -> ProfileStore:
        return ProfileStore.below(self.root)

    @property
    def scene(self) -> Scene:
        """A fresh look at it."""
        return Scene(self.bus, self.root)

    def manage(self, name: str, text: str | None = None, *command: str, **facts: tuple[str, Any]) -> None:
        """Installs a unit, and gives it a section unless it is an instance."""
        self.host.tree.unit(name.replace("@1.", "@.").replace("@2.", "@."))
        self.bus.add(properties(name, *command, **facts))
        section = name.partition("@")[0] + "@.service" if "@" in name else name
        self.host.tree.write(f"etc/graviton-agent/conf.d/20-{section}.toml", text or SECTION.format(section))

    def calibrated(self, name: str = UNIT, **results: Any) -> Profile:
        """Keeps what a calibration of the unit would leave behind now."""
        managed = self.scene.configuration.unit(name)
        assert managed is not None
        host = replace(self.host, unit=read_unit(self.bus, name), managed=managed)
        profile = host.profile(**results)
        self.store.write(profile)
        return profile

    def agent(self, state: str) -> None:
        """Lets PID 1 say that the agent's service is in this state; its folders come and go with it."""
        self.bus.add(properties(SERVICE, ActiveState=("s", state)))
        for path in (ENVIRONMENT, CALIBRATED):
            folder = self.host.tree.root / path[1:]
            if state == "active":
                folder.mkdir(parents=True, exist_ok=True)
            elif folder.exists():
                shutil.rmtree(folder)

    def environment(self, name: str = UNIT) -> str | None:
        """The text of the unit's environment file; None if it has none."""
        path = self.host.tree.root / ENVIRONMENT[1:] / f"{name}.env"
        return path.read_text() if path.exists() else None

    def variables(self, name: str = UNIT) -> list[str]:
        """The assignments in it."""
        lines = (self.environment(name) or "").splitlines()
        return [line for line in lines if not line.startswith("#")]

    def start(self, name: str = UNIT, **environment: str) -> None:
        """Lets the unit run, its process with this environment."""
        process = f"proc/{PID}"
        block = {"INVOCATION_ID": INVOCATION, **environment}
        self.host.tree.write(
            f"{process}/environ", "".join(f"{key}={value}\0" for key, value in block.items())
        )
        self.host.tree.write(f"{process}/stat", f"{PID} (python) S " + " ".join(["0"] * 18) + " 777 0")
        self.host.tree.write(f"{process}/cgroup", "0::/system.slice/llm.service\n")
        exe = self.host.tree.root / process / "exe"
        if not os.path.lexists(exe):
            exe.symlink_to("/usr/bin/python3.11")
        self.bus.add({**self.bus.units[name], **running(PID)})

    def overwrite(self, block: bytes = bytes(400)) -> None:
        """Lets the unit's program write over its environment."""
        (self.host.tree.root / f"proc/{PID}/environ").write_bytes(block)


def managed_machine(folder: Path) -> Managed:
    """A c7g.xlarge with an agent that is up, and with llm.service, which has a section and doesn't run."""
    machine = Managed(agent_host(folder), FakeBus())
    machine.agent("active")
    machine.host.tree.write("sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
    machine.manage(UNIT)
    return machine
