"""What a unit's process really gets, held against what the agent works out and what the cage says."""

import random
from collections.abc import Iterator

import pytest

from graviton_agent.root import Root
from graviton_agent.units.assignments import parse_assignments, parse_environment_block
from graviton_agent.units.bus import Bus
from graviton_agent.units.cage import Cage
from graviton_agent.units.held import reads_our_file
from graviton_agent.units.interpreter import Interpreter
from tests.systemd.agent import environment_of, unit_named
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

NAME = "DNNL_DEFAULT_FPMATH_MODE"
OURS = "/run/graviton-agent/environment/%n.env"

# What systemd adds for each process, which no file of the unit's says.
OF_EVERY_PROCESS = {
    "HOME", "USER", "LOGNAME", "SHELL", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "TERM",
    "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "LC_CTYPE",
}  # fmt: skip

SOURCES = {
    "nothing": "",
    "environment": f"Environment={NAME}=A OTHER=1",
    "file": f"Environment={NAME}=A\nEnvironmentFile=/etc/held/b",
    "file-before-ours": f"EnvironmentFile=/etc/held/b\nEnvironmentFile=-{OURS}",
    "file-after-ours": f"EnvironmentFile=-{OURS}\nEnvironmentFile=/etc/held/b",
    "files-by-pattern": "EnvironmentFile=/etc/held/?",
    "escaped-file": r"EnvironmentFile=/etc/held/x\\x2dy",
    "missing-file": "EnvironmentFile=-/etc/held/none",
    "empty-file-line": "EnvironmentFile=/etc/held/b\nEnvironmentFile=\nEnvironmentFile=/etc/held/c",
    "passed": "PassEnvironment=FROM_KERNEL container MISSING",
    "unset": f"Environment={NAME}=A\nUnsetEnvironment={NAME}",
    "unset-other-value": f"Environment={NAME}=A\nUnsetEnvironment={NAME}=B",
    "unset-same-value": f"Environment={NAME}=A\nUnsetEnvironment={NAME}=A",
    "unset-managers": "UnsetEnvironment=FROM_MANAGER",
    "over-managers": "Environment=FROM_MANAGER=2",
    "search-path": "ExecSearchPath=/opt/bin:/usr/bin",
    "search-path-and-path": "ExecSearchPath=/opt/bin:/usr/bin\nEnvironment=PATH=/usr/bin",
    "pam": f"PAMName=held\nUser=app\nEnvironment={NAME}=A\nEnvironmentFile=/etc/held/b",
    "pam-unset": f"PAMName=held\nUser=app\nUnsetEnvironment={NAME}",
}


def unit_file(directives: str) -> str:
    return f"[Service]\nType=oneshot\n{directives}\nExecStart=sh -c 'cat /proc/self/environ > /run/told/%p'\n"


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    files = {
        "/etc/held/b": f"{NAME}=B\n",
        "/etc/held/c": f"{NAME}=C\nTHIRD=3\n",
        "/etc/held/x\\x2dy": f"{NAME}=X\n",
        "/etc/environment": f"{NAME}=PAM\n",
        "/etc/pam.d/held": "account required pam_permit.so\nsession required pam_env.so\n",
        # What systemd calls the manager's environment, and what a kernel's command line gives to process 1.
        "/etc/systemd/system.conf.d/held.conf": "[Manager]\nDefaultEnvironment=FROM_MANAGER=1\n",
    }
    with boot(release, files=files) as container:
        container.run("useradd", "--system", "app")
        container.run("mkdir", "--mode=1777", "/run/told")
        container.add_units({f"{name}.service": unit_file(lines) for name, lines in SOURCES.items()})
        yield container


def told(container: RebootableContainer, name: str) -> dict[str, str]:
    """The environment of the unit's process, less what every process has."""
    container.systemctl("start", f"{name}.service")
    found = parse_environment_block(container.path(f"/run/told/{name}").read_bytes())
    return less(found)


def less(environment: dict[str, str]) -> dict[str, str]:
    # The shell adds these.
    names = OF_EVERY_PROCESS | {"PWD", "OLDPWD", "_", "SHLVL"}
    return {name: value for name, value in environment.items() if name not in names}


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_worked_out_is_what_the_process_gets(container: RebootableContainer, name: str) -> None:
    worked_out = container.call(environment_of, f"{name}.service")
    assert less(worked_out.values) == told(container, name)


def asked_in_the_cage(container: RebootableContainer, name: str) -> dict[str, str]:
    def ask() -> dict[str, str]:
        with Bus.connect() as bus, Cage(bus, f"{name}.service", Interpreter("/usr/bin/python3")) as cage:
            return cage.environment()

    return less(container.call(ask))


@pytest.mark.parametrize("name", SOURCES)
def test_what_the_cage_says_is_what_the_process_gets(container: RebootableContainer, name: str) -> None:
    assert asked_in_the_cage(container, name) == told(container, name)


@pytest.fixture
def with_our_file(container: RebootableContainer) -> Iterator[str]:
    """The name of a unit that really gets a value from the agent's file."""
    name = "file-before-ours"
    path = f"/run/graviton-agent/environment/{name}.service.env"
    container.write(path, f"{NAME}=OURS\n")
    assert told(container, name)[NAME] == "OURS"
    yield name
    container.path(path).unlink()


def test_the_agents_own_file_is_not_worked_in(container: RebootableContainer, with_our_file: str) -> None:
    held = container.call(environment_of, f"{with_our_file}.service").of(NAME)
    assert held is not None
    assert (held.value, held.source) == ("B", "/etc/held/b")


def test_the_agents_own_file_is_not_given_to_the_cage(
    container: RebootableContainer, with_our_file: str
) -> None:
    assert asked_in_the_cage(container, with_our_file)[NAME] == "B"


def test_an_empty_line_in_an_override_drops_the_agents_file(container: RebootableContainer) -> None:
    assert reads_our_file(container.call(unit_named, "file-before-ours.service"))
    container.add_units({"file-before-ours.service.d/override.conf": "[Service]\nEnvironmentFile=\n"})
    assert not reads_our_file(container.call(unit_named, "file-before-ours.service"))
    container.run("rm", "-r", "/etc/systemd/system/file-before-ours.service.d")
    container.systemctl("daemon-reload")


HARD = [
    b"A=1\nB=\xff\nC=3\n", b"A=a\0b\nB=2\n", b"A=bell\x07\nB=2\n", b"A='x\ny'z\n", b'A="a\\\nb"\n',
    b"A=a\\\r\nB=1\n", b"A=1\rB=2\n", b"export A=1\nB=2\n", b"=1\nB=2\n", b'A="open\nB=2\n', b"A=\\",
    b"\xef\xbb\xbfA=1\nB=2\n", b'A=a "b" c  \nB=2\n', b"A= 'q'  \nB=2", b"  ; c\nB=2", b"A;=1\nB=2",
    b"A=1 \\\n  2 \nB=2", b"A='a'b'c'\nB=2\n", b"A=x\tb\t\nB=2", b'A="\\a\\"\\$\\`\\\\"\nB=2\n', b"A=it's\n",
]  # fmt: skip
ALPHABET = ["A", "B", "=", "\n", " ", "'", '"', "\\", "$", "#", ";", "x", "\t", "\r", "`", "é"]


def test_environment_files_are_read_as_systemd_reads_them(container: RebootableContainer) -> None:
    # Generated files begin with an assignment, and have no backslash after a comment's sign: systemd's own
    # versions differ there.
    generator = random.Random(20261123)
    texts = ["A=" + "".join(generator.choices(ALPHABET, k=24)) for _ in range(120)]
    cases = [*HARD, *(text.encode() for text in texts if "#" not in text and ";" not in text)]
    for at, content in enumerate(cases):
        container.write(f"/etc/cases/{at}", content)
    container.add_units(
        {"case@.service": unit_file("EnvironmentFile=-/etc/cases/%i").replace("/run/told/%p", "/run/told/%i")}
    )
    container.systemctl("start", *(f"case@{at}.service" for at in range(len(cases))))
    for at, content in enumerate(cases):
        raw = parse_environment_block(container.path(f"/run/told/{at}").read_bytes())
        seen = {
            name: value for name, value in less(raw).items() if name not in {"FROM_MANAGER", "LANG", "PATH"}
        }
        assert parse_assignments(content) == seen, content


def test_a_file_is_read_through_links_and_from_run(container: RebootableContainer) -> None:
    container.write("/run/held/real", "A=1\n")
    container.run("ln", "--symbolic", "--force", "/run/held/real", "/etc/held-link")
    assert container.call(lambda: Root().read_bytes("etc/held-link")) == b"A=1\n"
