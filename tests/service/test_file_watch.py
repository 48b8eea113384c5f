"""What is heard of files, with the kernel's own notifications."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from graviton_agent.patience import Patience
from graviton_agent.service.file_watch import FileWatch
from graviton_agent.service.inotify import OVERFLOW, Event, Inotify
from graviton_agent.service.ways import Step, way_to_file, way_to_folder


@pytest.fixture
def watch() -> Iterator[FileWatch]:
    made = FileWatch(Inotify())
    yield made
    made.close()


@pytest.fixture
def torch(tmp_path: Path) -> Path:
    """A file in a venv that is reached through a link."""
    release = tmp_path / "releases/42/venv/torch"
    release.mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/42")
    (release / "version.py").write_text("2.9.1")
    return tmp_path / "current/venv/torch/version.py"


def listen(watch: FileWatch, path: Path) -> None:
    assert watch.arm({"llm.service": partial(way_to_file, str(path))}).refused is None


def test_nothing_is_heard_where_nothing_happens(watch: FileWatch, torch: Path) -> None:
    listen(watch, torch)
    torch.read_text()
    assert watch.heard() == set()


def test_what_happens_to_other_files_is_not_heard(watch: FileWatch, torch: Path, tmp_path: Path) -> None:
    listen(watch, torch)
    (torch.parent / "other.py").write_text("")
    (tmp_path / "log").write_text("")
    assert watch.heard() == set()


def test_a_file_that_is_written_is_heard(watch: FileWatch, torch: Path) -> None:
    listen(watch, torch)
    torch.write_text("2.10.0")
    assert watch.heard() == {"llm.service"}


def test_a_file_that_another_takes_the_place_of_is_heard(watch: FileWatch, torch: Path) -> None:
    listen(watch, torch)
    new = torch.with_name("new")
    new.write_text("2.10.0")
    new.rename(torch)
    assert watch.heard() == {"llm.service"}


def test_a_file_that_goes_while_a_process_has_it_open_is_heard(watch: FileWatch, torch: Path) -> None:
    listen(watch, torch)
    with torch.open():
        torch.unlink()
        assert watch.heard() == {"llm.service"}


def test_a_venv_that_another_takes_the_place_of_is_heard(watch: FileWatch, torch: Path) -> None:
    listen(watch, torch)
    venv = torch.parents[1].resolve()
    venv.rename(venv.with_name("old"))
    assert watch.heard() == {"llm.service"}


def test_a_link_that_is_set_to_another_release_is_heard(
    watch: FileWatch, torch: Path, tmp_path: Path
) -> None:
    listen(watch, torch)
    shutil.copytree(tmp_path / "releases/42", tmp_path / "releases/43")
    (tmp_path / "next").symlink_to("releases/43")
    (tmp_path / "next").rename(tmp_path / "current")
    assert watch.heard() == {"llm.service"}


def test_a_file_that_comes_is_heard(watch: FileWatch, torch: Path) -> None:
    torch.unlink()
    listen(watch, torch)
    (torch.parent / "other.py").write_text("")
    assert watch.heard() == set()
    torch.write_text("2.9.1")
    assert watch.heard() == {"llm.service"}


def test_a_link_that_leads_round_in_a_circle_can_be_watched(watch: FileWatch, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    listen(watch, tmp_path / "a/version.py")
    (tmp_path / "b").unlink()
    assert watch.heard() == {"llm.service"}


def test_all_are_told_whom_a_file_concerns(watch: FileWatch, torch: Path) -> None:
    way = partial(way_to_file, str(torch))
    watch.arm(
        {"llm.service": way, "app.service": way, "other.service": partial(way_to_file, str(torch.parent))}
    )
    torch.write_text("2.10.0")
    assert watch.heard() == {"llm.service", "app.service"}


def test_who_listens_no_more_is_told_nothing(watch: FileWatch, torch: Path) -> None:
    listen(watch, torch)
    watch.arm({})
    torch.write_text("2.10.0")
    assert watch.heard() == set()


def test_of_a_folder_the_files_of_one_kind_are_heard(watch: FileWatch, tmp_path: Path) -> None:
    watch.arm({"configuration": partial(way_to_folder, str(tmp_path), ".toml")})
    (tmp_path / ".10-llm.toml.swp").write_text("")
    assert watch.heard() == set()
    (tmp_path / "10-llm.toml").write_text("")
    assert watch.heard() == {"configuration"}
    (tmp_path / "10-llm.toml").unlink()
    assert watch.heard() == {"configuration"}


def test_a_folder_that_comes_is_heard(watch: FileWatch, tmp_path: Path) -> None:
    watch.arm({"configuration": partial(way_to_folder, f"{tmp_path}/conf.d", ".toml")})
    (tmp_path / "conf.d").mkdir()
    assert watch.heard() == {"configuration"}


def test_a_folder_behind_a_link_is_watched(watch: FileWatch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "conf.d").symlink_to("real")
    watch.arm({"configuration": partial(way_to_folder, f"{tmp_path}/conf.d", ".toml")})
    (tmp_path / "real/10-llm.toml").write_text("")
    assert watch.heard() == {"configuration"}


class Scripted(Inotify):
    """Says what it is told to."""

    def __init__(self, *events: Event) -> None:
        super().__init__()
        self.events = list(events)

    def read(self) -> list[Event]:
        return self.events


def test_when_events_were_lost_everybody_looks(torch: Path) -> None:
    watch = FileWatch(Scripted(Event(-1, OVERFLOW, "")))
    watch.arm({"llm.service": partial(way_to_file, str(torch)), "app.service": list})
    assert watch.heard() == {"llm.service", "app.service"}
    watch.close()


def test_an_event_of_a_watch_that_is_just_being_set_up_is_not_lost(torch: Path) -> None:
    watch = FileWatch(Scripted(Event(9999, 2, "")))
    listen(watch, torch)
    assert watch.heard() == {"llm.service"}
    watch.close()


def test_a_file_that_can_not_be_watched_is_reported_and_the_others_are_watched(
    watch: FileWatch, torch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Inotify.watch

    def refuse(self: Inotify, path: str, mask: int) -> int:
        if path.endswith("current"):
            raise OSError(28, "No space left on device")
        return real(self, path, mask)

    monkeypatch.setattr(Inotify, "watch", refuse)
    error = watch.arm({"llm.service": partial(way_to_file, str(torch))}).refused
    assert error is not None
    torch.write_text("2.10.0")
    assert watch.heard() == {"llm.service"}


def test_of_whose_files_do_not_answer_nothing_is_heard_and_of_the_others_all(torch: Path) -> None:
    released = threading.Event()

    class Hanging(Inotify):
        """Hangs where one file is to be watched."""

        def watch(self, path: str, mask: int) -> int:
            """Waits."""
            if path.endswith("dead"):
                released.wait()
            return super().watch(path, mask)

    watch = FileWatch(Hanging(), Patience(seconds=0.05))
    dead = torch.with_name("dead")
    dead.write_text("")

    def hang() -> list[Step]:
        released.wait()
        return []

    watch.arm(
        {
            "dead.service": partial(way_to_file, str(dead)),
            "unseen.service": hang,
            "llm.service": partial(way_to_file, str(torch)),
        }
    )
    torch.write_text("2.10.0")
    assert watch.heard() == {"llm.service"}
    released.set()
    watch.close()


def test_who_listens_to_other_inodes_than_before_is_told(watch: FileWatch, torch: Path) -> None:
    wanted = {"llm.service": partial(way_to_file, str(torch))}
    assert watch.arm(wanted).changed == {"llm.service"}
    assert watch.arm(wanted).changed == set()
    new = torch.with_name("new")
    new.write_text("2.10.0")
    new.rename(torch)
    assert watch.arm(wanted).changed == {"llm.service"}
