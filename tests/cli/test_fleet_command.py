"""`fleet report` over files that hosts have sent, and those that they should not have."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.errors import ExitCode
from tests.cli.command import Command, failed
from tests.records import changed


def unit(name: str = "llm.service", *, gain: float | None = 1.4, **values: Any) -> dict[str, Any]:
    profile = {
        "torch": "2.9.1",
        "environment": {"OMP_NUM_THREADS": "2"},
        "gain_interval": [gain, 2.0],
    }
    usual = {"unit": name, "state": "applied", "sync": "in sync", "profile": profile if gain else None}
    return {**usual, **values}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "hosts"


def say(folder: Path, host: str, *units: dict[str, Any], instance: str = "c7g.large") -> None:
    folder.mkdir(exist_ok=True)
    status = {"host": {"instance_type": instance}, "agent": {}, "units": list(units)}
    (folder / f"{host}.json").write_text(json.dumps(status))


def report(command: Command, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("fleet", "report", "--json", str(folder)).out)
    return found


def test_hosts_of_one_kind_stand_side_by_side(command: Command, folder: Path) -> None:
    say(folder, "a", unit(gain=1.3))
    say(folder, "b", unit(gain=1.5))
    say(folder, "c", unit(gain=1.1), instance="c6g.large")
    found = report(command, folder)
    assert [(one["instance"], one["hosts"], one["gains"]) for one in found["groups"]] == [
        ("c6g.large", 1, [1.1, 1.1, 1.1]),
        ("c7g.large", 2, [1.3, 1.4, 1.5]),
    ]


def test_every_state_is_counted(command: Command, folder: Path) -> None:
    say(folder, "a", unit(state="stale", sync="restart needed"))
    say(folder, "b", unit(sync="overridden"))
    say(folder, "c", unit(state="default"))
    say(folder, "d", unit(state="unfit", sync="not running"))
    (one,) = report(command, folder)["groups"]
    counts = ("hosts", "applied", "default", "stale", "drift", "restart", "unfit")
    assert [one[name] for name in counts] == [4, 1, 1, 1, 1, 1, 1]


def test_what_was_not_calibrated_is_named(command: Command, folder: Path) -> None:
    say(folder, "a", unit(state="not calibrated", gain=None))
    assert report(command, folder)["matters"]["not calibrated"] == ["a llm.service"]


def test_a_gain_unlike_the_others_is_named(command: Command, folder: Path) -> None:
    for number in range(20):
        say(folder, f"host{number}", unit(gain=1.40 + number / 1000))
    say(folder, "odd", unit(gain=1.02))
    (one,) = report(command, folder)["groups"]
    assert one["outliers"] == [{"host": "odd", "gain": 1.02}]


def test_gains_that_all_differ_a_little_make_no_outlier(command: Command, folder: Path) -> None:
    for number in range(20):
        say(folder, f"host{number}", unit(gain=1.30 + number / 100))
    assert report(command, folder)["groups"][0]["outliers"] == []


def test_a_record_counts_where_no_status_speaks_for_the_host(command: Command, folder: Path) -> None:
    folder.mkdir()
    (folder / "golden.json").write_text(changed().to_json())
    (one,) = report(command, folder)["groups"]
    assert (one["unit"], one["applied"]) == ("(a record)", 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"host": {}}',
        '{"host": [], "units": []}',
        '{"host": {}, "units": {}}',
        '{"host": {}, "units": [1]}',
        '{"host": {}, "units": [{"unit": "a", "state": "made up"}]}',
        '{"host": {}, "units": [{"unit": 1, "state": "applied"}]}',
        '{"host": {"instance_type": 7}, "units": []}',
        '{"host": {}, "units": [{"unit": "a", "state": "applied", "profile": {"environment": {"A": "b"}}}]}',
        '{"host": {}, "decision": {}}',
        "[" * 100_000,
    ],
)
def test_a_broken_file_is_named_and_costs_no_other(command: Command, folder: Path, text: str) -> None:
    say(folder, "good", unit())
    (folder / "bad.json").write_text(text)
    found = report(command, folder)
    assert list(found["broken"]) == [str(folder / "bad.json")]
    assert found["hosts"] == 1


def test_bytes_that_are_no_text_are_a_broken_file(command: Command, folder: Path) -> None:
    say(folder, "good", unit())
    (folder / "bad.json").write_bytes(b"\xff\xfe{")
    assert len(report(command, folder)["broken"]) == 1


def test_the_table_says_how_many_could_not_be_read(command: Command, folder: Path) -> None:
    say(folder, "good", unit())
    (folder / "bad.json").write_text("{")
    lines = command("fleet", "report", str(folder)).out.splitlines()
    assert lines[0] == "  1 host, 1 managed unit, 1 file could not be read"
    assert lines[3].split()[:5] == ["c7g.large", "2.9.1", "llm.service", "1", "1"]


def test_nothing_to_read_is_told(command: Command, folder: Path) -> None:
    folder.mkdir()
    failed(command("fleet", "report", str(folder)), ExitCode.USAGE, "there is no file to read")
    failed(command("fleet", "report", str(folder / "none")), ExitCode.USAGE, "neither a file nor a folder")


class Page(HTMLParser):
    """The tags of a page, and what they would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [name for name, _ in attrs if name in {"src", "href", "srcset", "onclick", "onerror"}]


def test_the_page_needs_nothing_else_and_runs_nothing(command: Command, folder: Path, tmp_path: Path) -> None:
    evil = '<script>alert(1)</script><img src=x onerror="alert(1)">'
    say(folder, evil.replace("/", ""), unit(f'a"{evil}', state="stale"), instance=evil)
    (folder / "bad.json").write_text('{"host": {}, "units": [{"state": "<script>"}]}')
    command("fleet", "report", str(folder), "--html", str(tmp_path / "fleet.html"))
    page = Page((tmp_path / "fleet.html").read_text())
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "object"})
    assert page.loads == []
