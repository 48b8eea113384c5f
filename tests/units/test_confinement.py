"""What shuts a worker in, whatever its unit says."""

from typing import Any

import pytest

from graviton_agent.units.confinement import files, labels, sealed
from tests.units.services import OLD

Made = dict[str, tuple[str, Any]]


def seal(*, user_namespaces: bool = True, **own: tuple[str, Any]) -> Made:
    return dict(sealed({**OLD, **own}, user_namespaces=user_namespaces))


def view(*, dynamic_user: bool = False, **own: tuple[str, Any]) -> Made:
    return dict(files({**OLD, **own}, dynamic_user=dynamic_user))


def paths(made: Made) -> list[str]:
    return [path for path, _ in made["TemporaryFileSystem"][1]]


@pytest.mark.parametrize("families", [(False, []), (True, ["AF_UNIX", "AF_INET"]), (False, ["AF_INET"])])
def test_no_socket_can_be_made_whatever_the_unit_may_make(families: tuple[bool, list[str]]) -> None:
    made = seal(RestrictAddressFamilies=("(bas)", families))
    assert made["RestrictAddressFamilies"] == ("(bas)", (True, []))


def test_io_uring_is_taken_from_what_the_unit_may_call() -> None:
    allowed = seal(SystemCallFilter=("(bas)", (True, ["read", "io_uring_setup", "io_uring_enter:EPERM"])))
    assert allowed["SystemCallFilter"] == ("(bas)", (True, ["read"]))


def test_io_uring_is_added_to_what_the_unit_may_not_call() -> None:
    (_, (allows, calls)) = seal(SystemCallFilter=("(bas)", (False, ["mount"])))["SystemCallFilter"]
    assert allows is False
    assert calls[0] == "mount"
    assert "io_uring_setup:EPERM" in calls


def test_no_namespace_can_be_made_whatever_the_unit_may_make() -> None:
    assert seal(RestrictNamespaces=("t", 0x7E020000))["RestrictNamespaces"] == ("t", 0)


def test_a_host_without_user_namespaces_gets_a_cage_without_one() -> None:
    assert seal()["PrivateUsers"] == ("b", True)
    assert "PrivateUsers" not in seal(user_namespaces=False)


def test_there_is_a_pid_namespace_where_systemd_knows_of_any() -> None:
    assert seal(PrivatePIDs=("s", "no"))["PrivatePIDs"] == ("s", "yes")
    assert "PrivatePIDs" not in seal()


@pytest.mark.parametrize(
    ("policy", "allowed", "expected"),
    [
        ("auto", [], ("s", "closed")),
        ("strict", [], None),
        ("auto", [("/dev/accelerator", "rw")], None),
    ],
)
def test_devices_are_closed_where_the_unit_names_none(
    policy: str, allowed: list[tuple[str, str]], expected: tuple[str, str] | None
) -> None:
    made = seal(DevicePolicy=("s", policy), DeviceAllow=("a(ss)", allowed))
    assert made.get("DevicePolicy") == expected


def test_what_the_unit_may_write_the_worker_may_read() -> None:
    made = view(
        BindPaths=("a(ssbt)", [("/srv/models", "/models", False, 0)]), ReadWritePaths=("as", ["/srv"])
    )
    assert made["BindReadOnlyPaths"] == ("a(ssbt)", [("/srv/models", "/models", False, 0)])
    assert not made.keys() & {"BindPaths", "ReadWritePaths"}


@pytest.mark.parametrize(
    ("own", "expected"), [("no", "read-only"), ("read-only", "read-only"), ("yes", "yes"), ("tmpfs", "no")]
)
def test_homes_are_never_writable(own: str, expected: str) -> None:
    made = view(ProtectHome=("s", own))
    assert made["ProtectHome"] == ("s", expected)
    assert ("/home" in paths(made)) is (own == "tmpfs")


def test_what_the_unit_hides_stays_hidden_and_may_be_missing() -> None:
    made = view(InaccessiblePaths=("as", ["/srv/secret", "-/run/lock"]))
    assert made["InaccessiblePaths"] == ("as", ["-/srv/secret", "-/run/lock"])


def test_temporary_folders_and_run_are_the_workers_own_and_small() -> None:
    made = view(TemporaryFileSystem=("a(ss)", [("/tmp", ""), ("/mnt", "ro")]))
    assert sorted(paths(made)) == ["/dev/shm", "/mnt", "/run", "/tmp", "/var/tmp"]
    assert all("size=" in options for path, options in made["TemporaryFileSystem"][1] if path != "/mnt")


def test_a_dynamic_users_temporary_folders_on_disk_are_hidden() -> None:
    made = view(dynamic_user=True)
    assert made["InaccessiblePaths"] == ("as", ["-/tmp", "-/var/tmp"])
    assert "InaccessiblePaths" not in view(dynamic_user=True, PrivateTmpEx=("s", "no"))


def test_the_units_security_labels_are_its_workers() -> None:
    given = {
        "SELinuxContext": ("(bs)", (True, "system_u:system_r:llm_t:s0")),
        "AppArmorProfile": ("(bs)", (False, "llm")),
        "SmackProcessLabel": ("(bs)", (False, "")),
    }
    assert labels(given) == [
        ("SELinuxContext", ("s", "system_u:system_r:llm_t:s0")),
        ("AppArmorProfile", ("(bs)", (False, "llm"))),
    ]
