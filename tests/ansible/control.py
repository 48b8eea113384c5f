"""The control node: Ansible, which reaches booted hosts over ssh at addresses of their own."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from tests.ansible.network import bridged
from tests.systemd.installed import REPOSITORY, AgentHost
from tests.systemd.missing import missing

PROGRAMS = REPOSITORY / ".cache/ansible/bin"
ROLE = REPOSITORY / "packaging/ansible"
UNIT = "llm.service"
SERVE = "[Service]\nType=exec\nExecStart=/opt/app/venv/bin/python -c 'import time; time.sleep(3600)'\n"
SECTION = f"/etc/graviton-agent/conf.d/60-{UNIT}.toml"
SECONDS = 540

REASON = missing() or (
    None if (PROGRAMS / "ansible-playbook").exists() else "no ansible in .cache/ansible: make test-ansible"
)
"""Why no playbook can be played here, or None."""

Host = TypeVar("Host", bound=AgentHost)


@dataclass
class Ran:
    """A run of the playbook."""

    code: int
    text: str

    @property
    def changed(self) -> dict[str, int]:
        """How many tasks changed something, by host."""
        found = re.findall(r"(?m)^(host\d)\s+: ok=\d+\s+changed=(\d+)", self.text)
        return {host: int(number) for host, number in found}


@dataclass
class Fleet(Generic[Host]):
    """The hosts, and how Ansible reaches them."""

    hosts: Sequence[Host]
    network: str
    folder: Path
    variables: dict[str, Any] = field(default_factory=dict)

    def play(self, *options: str, **variables: Any) -> Ran:
        """Plays site.yml from the network's own namespace."""
        given = {**self.variables, **variables}
        done = subprocess.run(
            (
                "ip", "netns", "exec", self.network, str(PROGRAMS / "ansible-playbook"),
                str(ROLE / "site.yml"), "--inventory", str(self.folder / "inventory"),
                "--extra-vars", json.dumps(given), *options,
            ),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_HOST_KEY_CHECKING": "false",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_TIMEOUT": "60",
                "ANSIBLE_PIPELINING": "true",
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            },
        )  # fmt: skip
        return Ran(done.returncode, done.stdout + done.stderr)

    def has_section(self) -> list[bool]:
        """Which hosts have the unit's section."""
        return [host.path(SECTION).exists() for host in self.hosts]


@contextmanager
def reached_by_ssh(hosts: Sequence[Host], folder: Path) -> Iterator[Fleet[Host]]:
    """Joins hosts, which have sshd, with a network from which Ansible reaches them as host1, host2 and so on.

    Args:
        hosts: booted ones.
        folder: an empty one for the inventory and what else the control node has.
    """
    key = folder / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
    for host in hosts:
        host.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text(), mode=0o600)
        host.systemctl("start", "ssh")
    network = f"graviton-agent-{os.getpid()}"
    with bridged(network, hosts) as addresses:
        lines = [
            f"host{number} ansible_host={address} ansible_user=root ansible_ssh_private_key_file={key} "
            "ansible_python_interpreter=/usr/bin/python3"
            for number, address in enumerate(addresses, start=1)
        ]
        (folder / "inventory").write_text("\n".join(["[graviton]", *lines, ""]))
        yield Fleet(hosts, network, folder)
