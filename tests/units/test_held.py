"""Which variables a unit gets from elsewhere, in systemd's own order."""

import os
from pathlib import Path

import pytest

from graviton_agent.root import Root
from graviton_agent.units.held import (
    LARGEST_FILE,
    LARGEST_TOGETHER,
    UnitEnvironment,
    reads_our_file,
    unit_environment,
)
from graviton_agent.units.unit import EnvironmentSource, Unit
from tests.units.services import service, tree

NAME = "DNNL_DEFAULT_FPMATH_MODE"
READ_BYTES = Root.read_bytes
OURS = EnvironmentSource("/run/graviton-agent/environment/llm.service.env", optional=True)


def environment(unit: Unit, root: Root, **manager: str) -> UnitEnvironment:
    return unit_environment(unit, manager, root)


def files(*paths: str) -> tuple[EnvironmentSource, ...]:
    return tuple(EnvironmentSource(path, optional=True) for path in paths)


def test_a_unit_that_sets_nothing_holds_nothing(tmp_path: Path) -> None:
    assert environment(service(), Root(tmp_path)).of(NAME) is None


def test_environment_holds(tmp_path: Path) -> None:
    held = environment(service(environment=((NAME, "BF16"),)), Root(tmp_path)).of(NAME)
    assert held is not None
    assert (held.value, held.source) == ("BF16", "Environment=")


def test_the_managers_environment_holds(tmp_path: Path) -> None:
    held = environment(service(), Root(tmp_path), **{NAME: "BF16"}).of(NAME)
    assert held is not None
    assert (held.value, held.source) == ("BF16", "the service manager's environment")


def test_an_environment_file_holds_and_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/etc/default/llm": f"{NAME}=BF16\n"})
    held = environment(service(environment_files=files("/etc/default/llm")), root).of(NAME)
    assert held is not None
    assert (held.value, held.source) == ("BF16", "/etc/default/llm")


def test_the_last_environment_file_wins(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/etc/a": f"{NAME}=BF16\n", "/etc/b": f"{NAME}=STRICT\n"})
    unit = service(environment=((NAME, "ANY"),), environment_files=files("/etc/b", "/etc/a"))
    assert environment(unit, root).values[NAME] == "BF16"


def test_a_pattern_names_its_files_in_order(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/etc/llm/1.env": f"{NAME}=BF16\n", "/etc/llm/2.env": f"{NAME}=STRICT\n"})
    assert environment(service(environment_files=files("/etc/llm/*.env")), root).values[NAME] == "STRICT"


def test_a_doubled_backslash_in_a_pattern_is_one(tmp_path: Path) -> None:
    root = tree(tmp_path, {r"/etc/a\x2db.env": f"{NAME}=BF16\n"})
    assert environment(service(environment_files=files(r"/etc/a\\x2db.env")), root).values[NAME] == "BF16"


def test_the_agents_own_file_holds_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path, {OURS.pattern: f"{NAME}=BF16\n"})
    assert environment(service(environment_files=(OURS,)), root).of(NAME) is None


def test_a_file_that_is_missing_or_unreadable_holds_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/etc/binary": b"\xff\xfe=\n"})
    assert environment(service(environment_files=files("/etc/none", "/etc/binary")), root).values == {}


def test_pass_environment_holds_what_process_1_has(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/proc/1/environ": f"{NAME}=BF16\0OTHER=1\0"})
    environment_ = environment(service(pass_environment=(NAME, "MISSING")), root)
    assert environment_.values == {NAME: "BF16"}


def test_unset_environment_holds_a_variable_unset(tmp_path: Path) -> None:
    unit = service(environment=((NAME, "BF16"),), unset_environment=(NAME,))
    held = environment(unit, Root(tmp_path)).of(NAME)
    assert held is not None
    assert (held.value, held.source) == (None, "UnsetEnvironment=")


def test_unset_environment_with_a_value_holds_that_value_alone(tmp_path: Path) -> None:
    unit = service(environment=((NAME, "BF16"),), unset_environment=(f"{NAME}=STRICT",))
    assert environment(unit, Root(tmp_path)).values[NAME] == "BF16"


def test_pam_comes_after_the_environment_files(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/etc/environment": f"{NAME}=BF16\n", "/etc/a": f"{NAME}=STRICT\n"})
    unit = service(environment_files=files("/etc/a"), pam_name="llm")
    assert environment(unit, root).values[NAME] == "BF16"


def test_what_pam_env_names_is_held_though_its_value_is_not_known(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/etc/security/pam_env.conf": f"# X DEFAULT=1\n{NAME} DEFAULT=${{HOME}}\n"})
    held = environment(service(pam_name="llm"), root).of(NAME)
    assert held is not None
    assert not held.is_known
    assert held.explains("anything")


def test_without_pam_its_files_say_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/etc/environment": f"{NAME}=BF16\n"})
    assert environment(service(), root).of(NAME) is None


def test_another_name_of_the_variable_holds_it_too(tmp_path: Path) -> None:
    held = environment(service(environment=(("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),)), Root(tmp_path)).of(
        NAME
    )
    assert held is not None
    assert held.name == "ONEDNN_DEFAULT_FPMATH_MODE"


def test_the_search_path_of_programs_is_the_path_of_the_process(tmp_path: Path) -> None:
    unit = service(search_path=("/opt/venv/bin", "/usr/bin"))
    assert environment(unit, Root(tmp_path), PATH="/bin").values["PATH"] == "/opt/venv/bin:/usr/bin"


def test_a_later_source_overlays(tmp_path: Path) -> None:
    base = environment(service(environment=((NAME, "BF16"),)), Root(tmp_path))
    assert base.overlaid({NAME: None}, "env in ExecStart=").of(NAME) is not None
    assert base.overlaid({NAME: None}, "env in ExecStart=").values == {}


def test_a_unit_whose_files_were_reset_does_not_read_ours() -> None:
    assert reads_our_file(service(environment_files=(OURS,)))
    assert not reads_our_file(service(environment_files=files("/etc/default/llm")))


def test_a_file_that_is_too_large_to_be_read_may_set_anything(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/home/app/env": "A=1\n" * 100_000})
    held = environment(service(environment_files=files("/home/app/env")), root).of(NAME)
    assert held is not None
    assert (held.is_known, held.source) == (False, "/home/app/env, which is too large to be read")


def test_files_that_are_too_large_together_may_set_anything_whatever_comes_later(tmp_path: Path) -> None:
    large = "A=1\n" * (LARGEST_FILE // 4)
    many = {f"/home/app/{number}": large for number in range(LARGEST_TOGETHER // LARGEST_FILE + 1)}
    root = tree(tmp_path, {**many, "/etc/later": f"{NAME}=BF16\n"})
    held = environment(service(environment_files=files("/home/app/*", "/etc/later")), root).of(NAME)
    assert held is not None
    assert (held.is_known, held.source) == (
        False,
        "/home/app/4, up to which its environment files are too large to be read",
    )


def test_nothing_is_read_of_the_files_beyond_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, {f"/home/app/{number}": "A=1\n" * (LARGEST_FILE // 4) for number in range(60)})
    read = []

    def note(root: Root, name: str, *, limit: int) -> bytes | None:
        read.append(name)
        return READ_BYTES(root, name, limit=limit)

    monkeypatch.setattr(Root, "read_bytes", note)
    environment(service(environment_files=files("/home/app/*")), root)
    assert len(read) == LARGEST_TOGETHER // LARGEST_FILE + 1


def test_files_that_are_within_the_bound_together_are_read(tmp_path: Path) -> None:
    large = "A=1\n" * (LARGEST_FILE // 4)
    number = LARGEST_TOGETHER // LARGEST_FILE
    root = tree(tmp_path, {f"/home/app/{at}": large for at in range(number)})
    found = environment(service(environment_files=files("/home/app/*")), root)
    assert found.values == {"A": "1"}
    assert found.of(NAME) is None


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_what_is_no_file_may_set_anything_and_is_not_even_opened(tmp_path: Path, kind: str) -> None:
    root = tree(tmp_path, {"/home/app/other": ""})
    path = tmp_path / "home/app/env"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    held = environment(service(environment_files=files("/home/app/env")), root).of(NAME)
    assert held is not None
    assert (held.is_known, held.source) == (False, "/home/app/env, which can't be read")


def test_a_pattern_that_names_too_many_files_may_set_anything(tmp_path: Path) -> None:
    root = tree(tmp_path, {f"/home/app/{number}": "" for number in range(1100)})
    held = environment(service(environment_files=files("/home/app/*")), root).of(NAME)
    assert held is not None
    assert held.source == "/home/app/*, which names too many files"


def test_a_pattern_takes_hidden_files_and_classes_as_a_shell_does(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/e/.a": "A=1\n", "/e/b": "B=1\n", "/e/c/d": "D=1\n", "/e/x/d": "X=1\n"})
    values = environment(service(environment_files=files("/e/*", "/e/[^x]/d")), root).values
    assert values == {"B": "1", "D": "1"}
