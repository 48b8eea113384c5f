"""The metrics as Prometheus reads them: by its own client's parser, and by promtool where it is installed."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from graviton_agent.host import read_host
from graviton_agent.metrics import UnitMetrics, render
from graviton_agent.profiles.application import State
from graviton_agent.root import Root
from graviton_agent.service.textfile import Textfile
from graviton_agent.units.verify import Sync
from tests.control.machine import managed_machine

WHEN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
APPLIED = UnitMetrics("llm.service", State.APPLIED, Sync.IN_SYNC, 1.28, WHEN, 61.5)
OLD = UnitMetrics("old.service", State.STALE, Sync.RESTART_NEEDED, None, WHEN, None)
DOWN = UnitMetrics(r"em\x2dbed@1.service", State.UNCALIBRATED, Sync.NOT_RUNNING, None, None, None)
UNITS = (APPLIED, OLD, DOWN)
# Perhaps where packaging/install-tools has put it.
_PLACES = f"{os.environ['PATH']}:{Path(__file__).parents[1] / '.cache/bin'}"
PROMTOOL = shutil.which("promtool", path=_PLACES)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return managed_machine(tmp_path).root


@pytest.fixture
def text(root: Root) -> str:
    return render(read_host(root), UNITS, problems=2)


def samples(text: str) -> dict[tuple[str, str], float]:
    """Every value by its metric and unit."""
    return {
        (sample.name.removeprefix("graviton_agent_"), sample.labels.get("unit", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_unit_says_how_it_stands(text: str) -> None:
    found = samples(text)
    assert found["unit_in_sync", "llm.service"] == 1
    assert found["unit_in_sync", "old.service"] == 0
    assert found["unit_restart_needed", "old.service"] == 1
    assert found["unit_stale", "old.service"] == 1
    assert found["unit_stale", "llm.service"] == 0
    assert found["unit_gain_ratio", "llm.service"] == 1.28
    assert found["unit_calibration_timestamp_seconds", "llm.service"] == WHEN.timestamp()
    assert found["unit_calibration_duration_seconds", "llm.service"] == 61.5
    assert found["configuration_problems", ""] == 2
    assert found["units", ""] == 3


def test_of_what_does_not_run_nobody_says_that_it_is_in_sync(text: str) -> None:
    assert ("unit_in_sync", DOWN.unit) not in samples(text)
    assert ("unit_gain_ratio", "old.service") not in samples(text)


def test_nor_of_what_can_not_be_told(root: Root) -> None:
    hidden = UnitMetrics("llm.service", State.APPLIED, Sync.UNTOLD, 1.28, WHEN, None)
    found = samples(render(read_host(root), [hidden], problems=0))
    assert ("unit_in_sync", "llm.service") not in found
    assert ("unit_restart_needed", "llm.service") not in found
    assert found["unit_gain_ratio", "llm.service"] == 1.28


def test_a_backslash_in_a_units_name_survives(text: str) -> None:
    assert ("unit_stale", DOWN.unit) in samples(text)


def test_whatever_a_label_holds_it_stays_one_line(root: Root) -> None:
    wild = UnitMetrics('a"} 1\nevil{b="c\\', State.APPLIED, Sync.IN_SYNC, None, None, None)
    found = samples(render(read_host(root), [wild], problems=0))
    assert found["unit_in_sync", wild.unit] == 1
    assert not [name for name, _ in found if "evil" in name]


def test_every_metric_is_explained_and_typed_once(text: str) -> None:
    lines = text.splitlines()
    names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == [
        line.split()[2] for line in lines if line.startswith("# TYPE")
    ]
    assert {line.split()[2] for line in lines if line.startswith("# TYPE")} == names


def test_every_metric_is_documented(text: str) -> None:
    document = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
    families = [family.name for family in text_string_to_metric_families(text)]
    assert [name for name in families if f"`{name}" not in document] == []


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here: make package-tools")
def test_promtool_has_nothing_against_it(text: str) -> None:
    ran = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_file_is_written_only_where_it_says_something_new(tmp_path: Path) -> None:
    file = Textfile(tmp_path)
    file.write("a 1\n")
    before = (tmp_path / "graviton-agent.prom").stat().st_ctime_ns
    file.write("a 1\n")
    assert (tmp_path / "graviton-agent.prom").stat().st_ctime_ns == before
    file.write("a 2\n")
    assert (tmp_path / "graviton-agent.prom").read_text() == "a 2\n"


def test_others_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir(mode=0o700)
    Textfile(folder).write("a 1\n")
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "graviton-agent.prom").stat().st_mode & 0o777 == 0o644


def test_without_its_folder_nothing_is_written(tmp_path: Path) -> None:
    Textfile(tmp_path / "none").write("a 1\n")
    assert list(tmp_path.iterdir()) == []
