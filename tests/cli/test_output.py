"""Files that the user names, and an output that can't be written to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graviton_agent.cli.output import write_output
from graviton_agent.errors import StateError

DETECT = "import sys; from graviton_agent.cli.main import main; sys.exit(main(['detect', *sys.argv[1:]]))"


def test_a_new_file_has_the_mode_that_the_user_gives_to_new_files(tmp_path: Path) -> None:
    former = os.umask(0o027)
    try:
        write_output(tmp_path / "record.json", b"{}")
    finally:
        os.umask(former)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.touch(mode=0o600)
    write_output(path, b"{}")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"{}", 0o600)


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    write_output(tmp_path / "link", b"{}")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"{}"


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_output(pipe, b"{}")
        assert os.read(reader, 10) == b"{}"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("path", ["/dev/full", "/dev/null/record.json", "/dev"])
def test_what_can_not_be_written_is_named(path: str) -> None:
    with pytest.raises(StateError, match=f"can't write {path}: "):
        write_output(Path(path), b"{}")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_the_output_is_one_line_and_a_failure(options: list[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - it is no file
        done = subprocess.run(
            [sys.executable, "-c", DETECT, *options],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == "graviton-agent: No space left on device\n"
    assert done.returncode == 1
