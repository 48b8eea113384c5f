"""A network of containers, joined by a bridge in a namespace of its own, from which ssh reaches them."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.systemd.container import Container

NETWORK = "10.77.0"
CONTROL = f"{NETWORK}.1"
"""The address of the namespace itself."""
SECONDS = 30


def ip(*arguments: str) -> None:
    """Runs ip(8)."""
    subprocess.run(("ip", *arguments), check=True, timeout=SECONDS, capture_output=True)


@contextmanager
def bridged(name: str, hosts: Sequence[Container]) -> Iterator[list[str]]:
    """Gives each host an address of its own, and yields these; the namespace is called by the name.

    Everything goes with the namespace and with the containers.
    """
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "add", "br0", "type", "bridge")
        ip("-n", name, "addr", "add", f"{CONTROL}/24", "dev", "br0")
        ip("-n", name, "link", "set", "br0", "up")
        addresses = []
        for number, host in enumerate(hosts, start=11):
            port = f"port{number}"
            peer = ("peer", "name", "eth0", "netns", str(host.leader))
            ip("-n", name, "link", "add", port, "type", "veth", *peer)
            ip("-n", name, "link", "set", port, "master", "br0", "up")
            inside = ("nsenter", f"--target={host.leader}", "--net", "ip")
            for words in (
                ("addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                subprocess.run((*inside, *words), check=True, timeout=SECONDS, capture_output=True)
            addresses.append(f"{NETWORK}.{number}")
        yield addresses
    finally:
        ip("netns", "delete", name)
