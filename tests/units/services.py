"""Services made from facts, for tests that need no systemd."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from graviton_agent.root import Root
from graviton_agent.units.command_line import CommandLine
from graviton_agent.units.manager import Properties
from graviton_agent.units.unit import Unit

PLAIN = Unit(
    name="llm.service",
    load_state="loaded",
    active_state="active",
    fragment_path="/etc/systemd/system/llm.service",
    drop_in_paths=(),
    needs_daemon_reload=False,
    user="llm",
    group=None,
    dynamic_user=False,
    working_directory=None,
    root_directory=None,
    root_image=None,
    slice="system.slice",
    control_group="/system.slice/llm.service",
    cpu_quota=None,
    allowed_cpus=None,
    memory_nodes=None,
    numa_policy=None,
    numa_nodes=None,
    cpu_affinity=None,
    memory_max=None,
    memory_high=None,
    environment=(),
    environment_files=(),
    pass_environment=(),
    unset_environment=(),
    pam_name=None,
    search_path=(),
    commands=(),
    main_pid=100,
    invocation="00" * 16,
    started=None,
)


OLD: Properties = {
    "Id": ("s", "llm.service"),
    "LoadState": ("s", "loaded"),
    "ActiveState": ("s", "active"),
    "FragmentPath": ("s", "/etc/systemd/system/llm.service"),
    "DropInPaths": ("as", []),
}
"""The least that any version of systemd says."""


def service(**facts: Any) -> Unit:
    """A running service with these facts."""
    return replace(PLAIN, **facts)


def command(*words: str, flags: tuple[str, ...] = ()) -> CommandLine:
    """An ExecStart= line whose first word is the program."""
    return CommandLine(words[0], words, frozenset(flags))


def tree(folder: Path, files: dict[str, str | bytes]) -> Root:
    """A file system with these files, by absolute path; "-> target" makes a link."""
    for path, content in files.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("-> "):
            target.symlink_to(content.removeprefix("-> "))
        else:
            target.write_bytes(content.encode() if isinstance(content, str) else content)
    return Root(folder)
