"""What the agent learns of units from a real PID 1."""

import json
from collections.abc import Iterator

import pytest

from graviton_agent.errors import InterpreterError
from graviton_agent.units.unit import EnvironmentSource, UnitError, require_loaded
from tests.systemd.agent import environment_of, interpreter_of, unit_named
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

TELL = """import json, sys
with open("/run/told.json", "w") as file:
    json.dump({"argv": sys.argv, "prefix": sys.prefix}, file)
"""

UNITS = {
    "full.service": r"""
[Service]
User=app
Group=daemon
WorkingDirectory=-/opt/app
Slice=llm.slice
CPUQuota=150%
AllowedCPUs=0-2 5
CPUAffinity=1
AllowedMemoryNodes=0-1
NUMAPolicy=bind
NUMAMask=0
MemoryMax=1G
MemoryHigh=512M
Environment=A=1 "B=two words"
EnvironmentFile=/etc/first
EnvironmentFile=-/etc/default/*.env
PassEnvironment=LANG
UnsetEnvironment=C D=1
PAMName=login
ExecSearchPath=/opt/venv/bin:/usr/bin
ExecStart=sleep infinity
""",
    "alias.service": "[Service]\nExecStart=sleep infinity\n[Install]\nAlias=other.service\n",
    "masked.service": "[Service]\nExecStart=sleep infinity\n",
    "bad.service": "[Service]\nExecStart=not/absolute\n",
    r"a-b\x2dc@.service": "[Service]\nExecStart=sleep %i\n",
    "dynamic.service": "[Service]\nDynamicUser=yes\nExecStart=sleep infinity\n",
    "words.service": r"""
[Service]
Type=oneshot
Environment="OPTIONS=--workers 4 --name 'two words'" MODEL=bert
ExecStart=/opt/venv/bin/serve %n $OPTIONS "${OPTIONS}" /models/${MODEL}.pt a$MODEL $$MODEL \
  ${NONE} $NONE "q \" q"
""",
    "env.service": """
[Service]
Type=oneshot
Environment=PATH=/opt/venv/bin:/usr/bin
ExecStart=/usr/bin/env -u C MODEL=bert python /opt/app/tell.py
""",
    "plus.service": "[Service]\nExecStart=+/opt/venv/bin/serve\n",
    "shell.service": "[Service]\nExecStart=/bin/sh -c 'exec /opt/venv/bin/serve'\n",
}


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    with boot(release) as container:
        container.run("useradd", "--system", "app")
        container.run("python3", "-m", "venv", "--without-pip", "/opt/venv")
        container.write("/opt/venv/bin/serve", f"#!/opt/venv/bin/python -s\n{TELL}", mode=0o755)
        container.write("/opt/app/tell.py", TELL)
        container.add_units(UNITS)
        container.systemctl("enable", "alias.service")
        container.run("rm", "/etc/systemd/system/masked.service")
        container.systemctl("mask", "masked.service")
        yield container


def test_every_fact_of_a_unit_that_does_not_run_is_read(container: RebootableContainer) -> None:
    unit = container.call(unit_named, "full.service")
    assert unit.name == "full.service"
    assert (unit.load_state, unit.active_state) == ("loaded", "inactive")
    assert unit.fragment_path == "/etc/systemd/system/full.service"
    assert (unit.user, unit.group, unit.dynamic_user) == ("app", "daemon", False)
    assert unit.working_directory == "/opt/app"
    assert unit.slice == "llm.slice"
    assert unit.cpu_quota == 1.5
    assert unit.allowed_cpus == (0, 1, 2, 5)
    assert unit.cpu_affinity == (1,)
    assert (unit.memory_nodes, unit.numa_policy, unit.numa_nodes) == ((0, 1), 2, (0,))
    assert (unit.memory_max, unit.memory_high) == (1 << 30, 1 << 29)
    assert unit.environment == (("A", "1"), ("B", "two words"))
    assert unit.environment_files == (
        EnvironmentSource("/etc/first", optional=False),
        EnvironmentSource("/etc/default/*.env", optional=True),
    )
    assert unit.pass_environment == ("LANG",)
    assert unit.unset_environment == ("C", "D=1")
    assert unit.pam_name == "login"
    assert unit.search_path == ("/opt/venv/bin", "/usr/bin")
    assert (unit.main_pid, unit.invocation, unit.control_group) == (None, None, None)


def test_a_drop_in_shows(container: RebootableContainer) -> None:
    container.add_units({"alias.service.d/50-graviton-agent.conf": "[Service]\nEnvironment=A=1\n"})
    unit = container.call(unit_named, "alias.service")
    assert unit.drop_in_paths == ("/etc/systemd/system/alias.service.d/50-graviton-agent.conf",)


def test_an_alias_is_the_unit_that_it_stands_for(container: RebootableContainer) -> None:
    assert container.call(unit_named, "other.service").name == "alias.service"


def test_a_running_unit_has_a_process_and_an_invocation(container: RebootableContainer) -> None:
    container.systemctl("start", "dynamic.service")
    unit = container.call(unit_named, "dynamic.service")
    assert unit.is_active
    assert str(unit.main_pid) == container.show("dynamic.service", "MainPID")
    assert unit.invocation == container.show("dynamic.service", "InvocationID")
    assert unit.control_group == "/system.slice/dynamic.service"
    assert unit.started is not None
    assert (unit.dynamic_user, unit.user) == (True, "dynamic")


def test_an_instance_with_an_escaped_name_is_read(container: RebootableContainer) -> None:
    unit = container.call(unit_named, r"a-b\x2dc@x\x20y.service")
    assert unit.name == r"a-b\x2dc@x\x20y.service"
    assert unit.commands[0].arguments == ("sleep", r"x\x20y")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.service", "there is no such unit"),
        ("masked.service", "it is masked"),
        ("bad.service", "its file has a setting that systemd refuses"),
    ],
)
def test_a_unit_that_can_not_be_started_says_why(
    container: RebootableContainer, name: str, reason: str
) -> None:
    unit = container.call(unit_named, name)
    with pytest.raises(UnitError) as caught:
        require_loaded(unit)
    assert caught.value.message == f"{name} can't be started: {reason}"


def test_a_command_line_is_expanded_as_systemd_does(container: RebootableContainer) -> None:
    container.systemctl("start", "words.service")
    told = json.loads(container.run("cat", "/run/told.json"))
    unit = container.call(unit_named, "words.service")
    values = container.call(environment_of, "words.service").values
    assert list(unit.commands[0].expand(values)) == told["argv"]


def test_the_python_of_a_script_is_that_of_its_venv_and_not_the_systems(
    container: RebootableContainer,
) -> None:
    found = container.call(interpreter_of, "words.service")
    assert (found.path, found.options) == ("/opt/venv/bin/python", ("-s",))
    assert container.run(found.path, "-c", "import sys; print(sys.prefix)") == "/opt/venv\n"
    # The link leads to a Python that knows nothing of the venv.
    assert container.run("readlink", "-f", found.path).startswith("/usr/bin/python3")


def test_the_python_behind_env_is_the_one_that_systemd_starts(container: RebootableContainer) -> None:
    container.systemctl("start", "env.service")
    told = json.loads(container.run("cat", "/run/told.json"))
    found = container.call(interpreter_of, "env.service")
    assert found.path == "/opt/venv/bin/python"
    assert found.variables == {"C": None, "MODEL": "bert"}
    assert told["prefix"] == "/opt/venv"


@pytest.mark.parametrize(("name", "word"), [("plus.service", "prefix +"), ("shell.service", "/bin/sh")])
def test_a_command_that_can_not_be_followed_is_refused(
    container: RebootableContainer, name: str, word: str
) -> None:
    with pytest.raises(InterpreterError) as caught:
        container.call(interpreter_of, name)
    assert word in caught.value.message
