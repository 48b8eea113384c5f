"""The test bed itself."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.container import ContainerError, RebootableContainer, boot
from tests.systemd.missing import unified_cgroups
from tests.systemd.rootfs import Release


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    with boot(release, files={"/etc/prepared": "before boot\n"}) as container:
        yield container


def test_systemd_is_up_and_of_the_version_that_the_release_says(container: RebootableContainer) -> None:
    assert container.systemctl("is-system-running") == "running\n"
    assert f"systemd {container.release.systemd}" in container.systemctl("--version")
    assert f"Python {container.release.python}." in container.run("python3", "--version")


def test_a_file_prepared_before_boot_is_there(container: RebootableContainer) -> None:
    assert container.run("cat", "/etc/prepared") == "before boot\n"


def test_a_command_that_fails_says_what_it_printed(container: RebootableContainer) -> None:
    with pytest.raises(ContainerError, match="no-such-file"):
        container.run("cat", "/no-such-file")


def test_a_unit_that_is_added_runs_and_its_output_is_in_the_journal(container: RebootableContainer) -> None:
    container.add_units({"hello.service": "[Service]\nType=oneshot\nExecStart=echo good morning\n"})
    container.systemctl("start", "hello.service")
    assert "good morning" in container.journal("hello.service")


def test_a_function_runs_among_the_processes_and_files_of_the_container(
    container: RebootableContainer,
) -> None:
    def look() -> tuple[str, str, bool]:
        known_by_own_number = Path("/proc/self").readlink() == Path(str(os.getpid()))
        return Path("/etc/prepared").read_text(), Path("/proc/1/comm").read_text(), known_by_own_number

    assert container.call(look) == ("before boot\n", "systemd\n", True)


def test_an_exception_comes_back_from_the_container(container: RebootableContainer) -> None:
    with pytest.raises(ZeroDivisionError):
        container.call(lambda: 1 // 0)


def test_a_reboot_keeps_the_disk_and_empties_run(container: RebootableContainer) -> None:
    container.write("/etc/kept", "")
    container.write("/run/lost", "")
    container.reboot()
    assert container.path("/etc/kept").exists()
    assert not container.path("/run/lost").exists()


def test_nothing_is_left_when_the_container_has_ended(release: Release) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    with boot(release) as container:
        leader = container.leader
        assert Path("/proc/self/mounts").read_text() == mounts
    assert not Path(f"/proc/{leader}").exists()
    cgroups = unified_cgroups()
    assert cgroups is not None
    assert not [group for group in cgroups.iterdir() if group.name == f"graviton-agent-{os.getpid()}-2"]
