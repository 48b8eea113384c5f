"""What is watched, and for whom."""

from pathlib import Path

import pytest

from graviton_agent.profiles.store import FOLDER
from graviton_agent.service.file_watch import FileWatch
from graviton_agent.service.inotify import Inotify
from graviton_agent.service.listening import EVERYBODY, ways
from tests.control.machine import UNIT, Managed
from tests.profiles.host import TORCH
from tests.service.daemon import make_upkeep

CONFIGURATION = "etc/graviton-agent"


@pytest.mark.parametrize(
    ("path", "listeners"),
    [
        (f"{CONFIGURATION}/graviton-agent.toml", {EVERYBODY}),
        (f"{CONFIGURATION}/conf.d/30-new.toml", {EVERYBODY}),
        (f"{CONFIGURATION}/conf.d/.30-new.toml.swp", set()),
        (f"var/lib/graviton-agent/{FOLDER}/app.service.json", {EVERYBODY}),
        (f"{TORCH[1:]}/version.py", {UNIT}),
        (f"{TORCH[1:]}/other.py", set()),
        ("var/log/app.log", set()),
    ],
)
def test_who_depends_on_a_file_hears_of_it(machine: Managed, path: str, listeners: set[str]) -> None:
    machine.calibrated()
    overview = make_upkeep(machine).look()
    target = machine.root.path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    watch = FileWatch(Inotify())
    watch.arm(ways(overview, str(machine.root.path)))
    target.write_text("")
    assert watch.heard() == listeners
    watch.close()


def test_the_configuration_is_listened_to_before_anything_else_is_known(tmp_path: Path) -> None:
    (tmp_path / CONFIGURATION).mkdir(parents=True)
    watch = FileWatch(Inotify())
    watch.arm(ways(None, str(tmp_path)))
    (tmp_path / CONFIGURATION / "graviton-agent.toml").write_text("")
    assert watch.heard() == {EVERYBODY}
    watch.close()
