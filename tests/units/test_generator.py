"""The generator, run as systemd runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graviton_agent.configuration import sources
from graviton_agent.installed import SERVICE
from graviton_agent.units.generator import generate
from graviton_agent.units.names import is_service_name
from tests.configuration.tree import MAIN, PROGRAMS, Tree

SOURCE = PROGRAMS.parent
DROP_IN = "50-graviton-agent.conf"
UNIT = '[units."llm.service"]\n'


def lines(tree: Tree, unit: str = "llm.service") -> list[str]:
    """The lines of a unit's drop-in, without comments and blank ones."""
    text = tree.generate()[f"{unit}.d/{DROP_IN}"]
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_managed_unit_is_ordered_after_the_agent_and_gets_its_file_and_the_check(tree: Tree) -> None:
    tree.unit("llm.service")
    tree.write(MAIN, UNIT)
    assert tree.generate().keys() == {f"llm.service.d/{DROP_IN}"}
    assert lines(tree) == [
        "[Unit]",
        "Wants=graviton-agent.service graviton-agent-check@%n.service",
        "After=graviton-agent.service graviton-agent-check@%n.service graviton-agent-withdraw@%n.service",
        "[Service]",
        "EnvironmentFile=-/run/graviton-agent/environment/llm.service.env",
    ]


def test_nothing_of_the_agents_runs_in_the_units_own_environment(tree: Tree) -> None:
    tree.write(MAIN, f'[defaults]\ncalibrate = "before-start"\n{UNIT}')
    assert not [line for line in lines(tree) if line.startswith("Exec")]


def test_a_template_names_its_own_file_first_and_then_the_instances(tree: Tree) -> None:
    tree.write(MAIN, '[units."llm@.service"]\n')
    assert [line for line in lines(tree, "llm@.service") if "EnvironmentFile" in line] == [
        "EnvironmentFile=-/run/graviton-agent/environment/llm@.service.env",
        "EnvironmentFile=-/run/graviton-agent/environment/%n.env",
    ]


def test_an_instance_with_a_section_of_its_own_gets_nothing_of_its_templates(tree: Tree) -> None:
    tree.write(MAIN, '[units."llm@1.service"]\n[units."llm@.service"]\n')
    assert lines(tree, "llm@1.service")[-2:] == [
        "[Service]",
        "EnvironmentFile=-/run/graviton-agent/environment/llm@1.service.env",
    ]


def test_backslashes_are_doubled_in_the_path_of_the_environment_file_alone(tree: Tree) -> None:
    tree.write(MAIN, "[units.'a-b\\x2dc.service']\n")
    found = lines(tree, "a-b\\x2dc.service")
    assert "EnvironmentFile=-/run/graviton-agent/environment/a-b\\\\x2dc.service.env" in found
    assert "\\" not in "".join(line for line in found if "EnvironmentFile" not in line)


def test_an_enabled_instance_with_a_backslash_gets_a_drop_in_that_can_name_its_file(tree: Tree) -> None:
    tree.unit("llm@.service")
    tree.link("etc/systemd/system/multi-user.target.wants/llm@a\\x20b.service", "../llm@.service")
    tree.link("etc/systemd/system/multi-user.target.wants/llm@1.service", "../llm@.service")
    tree.link("etc/systemd/system/multi-user.target.wants/other@a\\x20b.service", "../other@.service")
    tree.write(MAIN, '[units."llm@.service"]\n')
    assert tree.generate().keys() == {f"llm@.service.d/{DROP_IN}", f"llm@a\\x20b.service.d/{DROP_IN}"}
    assert lines(tree, "llm@a\\x20b.service")[-2:] == [
        "EnvironmentFile=-/run/graviton-agent/environment/llm@.service.env",
        "EnvironmentFile=-/run/graviton-agent/environment/llm@a\\\\x20b.service.env",
    ]


def test_a_unit_that_is_calibrated_before_its_start_waits_at_its_gate(tree: Tree) -> None:
    tree.write(MAIN, f'[defaults]\ncalibrate = "before-start"\n{UNIT}')
    units = "graviton-agent.service graviton-agent-calibrate@%n.service graviton-agent-check@%n.service"
    assert lines(tree)[1:3] == [f"Wants={units}", f"After={units} graviton-agent-withdraw@%n.service"]


def has_check(tree: Tree, unit: str = "llm.service") -> bool:
    """Whether the unit starts after its check, and pulls it in."""
    check = "graviton-agent-check@%n.service"
    found = [line for line in lines(tree, unit) if check in line.partition("=")[2].split()]
    assert [line.partition("=")[0] for line in found] in ([], ["Wants", "After"])
    return bool(found)


def test_the_check_can_be_switched_off(tree: Tree) -> None:
    tree.write(MAIN, f"{UNIT}check = false\n")
    assert not has_check(tree)


@pytest.mark.parametrize("line", ["DefaultDependencies=no", "Before=graviton-agent.service"])
def test_a_unit_that_starts_before_the_agent_gets_its_file_and_the_check(tree: Tree, line: str) -> None:
    tree.unit("llm.service", f"[Unit]\n{line}\n")
    tree.write(MAIN, f'{UNIT}calibrate = "before-start"\n')
    assert lines(tree) == [
        *EARLY,
        "[Service]",
        "EnvironmentFile=-/run/graviton-agent/environment/llm.service.env",
    ]


EARLY = [
    "[Unit]",
    "Wants=graviton-agent-check@%n.service",
    "After=graviton-agent-check@%n.service graviton-agent-withdraw@%n.service",
]


@pytest.mark.parametrize("line", ["DefaultDependencies=no", "Before=graviton-agent.service"])
@pytest.mark.parametrize("path", ["llm@1.service.d/10-order.conf", "llm@1.service"])
def test_an_instance_that_files_of_its_own_order_before_the_agent_gets_a_drop_in_of_its_own(
    tree: Tree, path: str, line: str
) -> None:
    tree.unit("llm@.service")
    tree.write(f"etc/systemd/system/{path}", f"[Unit]\n{line}\n")
    tree.unit("llm@2.service.d/10-limits.conf", "[Service]\nCPUQuota=100%\n")
    tree.unit("other@1.service.d/10-order.conf", f"[Unit]\n{line}\n")
    tree.write(MAIN, '[units."llm@.service"]\n')
    assert tree.generate().keys() == {f"llm@.service.d/{DROP_IN}", f"llm@1.service.d/{DROP_IN}"}
    assert lines(tree, "llm@1.service") == [
        *EARLY,
        "[Service]",
        "EnvironmentFile=-/run/graviton-agent/environment/llm@.service.env",
        "EnvironmentFile=-/run/graviton-agent/environment/llm@1.service.env",
    ]
    assert lines(tree, "llm@.service")[1].startswith("Wants=graviton-agent.service ")


def test_a_unit_opts_in_by_its_own_file(tree: Tree) -> None:
    tree.unit("llm.service", "[Service]\n[X-GravitonAgent]\nCheck=no\nCalibrate=before-start\n")
    found = lines(tree)
    assert "Wants=graviton-agent.service graviton-agent-calibrate@%n.service" in found


def test_the_configuration_has_the_last_word_over_the_units_own_section(tree: Tree) -> None:
    tree.unit("llm.service", "[X-GravitonAgent]\nCheck=no\n")
    tree.write(MAIN, f"{UNIT}check = true\n")
    assert has_check(tree)


@pytest.mark.parametrize(
    "text", [f"{UNIT}enabled = false\n", f"enabled = false\n{UNIT}", f"[defaults]\nenabled = false\n{UNIT}"]
)
def test_what_is_switched_off_gets_nothing(tree: Tree, text: str) -> None:
    tree.write(MAIN, text)
    assert tree.generate() == {}


def test_a_disabled_instance_of_a_managed_template_gets_an_empty_drop_in_that_hides_the_templates(
    tree: Tree,
) -> None:
    tree.write(MAIN, '[units."llm@.service"]\n[units."llm@2.service"]\nenabled = false\n')
    assert tree.generate()[f"llm@2.service.d/{DROP_IN}"] == ""


def test_a_masked_alias_or_disabled_unit_of_its_own_accord_gets_nothing(tree: Tree) -> None:
    tree.write("usr/lib/systemd/system/a.service", "[X-GravitonAgent]\n")
    tree.link("etc/systemd/system/a.service", os.devnull)
    tree.write("usr/lib/systemd/system/b.service", "[X-GravitonAgent]\nEnabled=no\n")
    tree.link("etc/systemd/system/c.service", "b.service")
    assert tree.generate() == {}


def test_while_the_agent_is_masked_no_unit_reads_anything_of_its(tree: Tree) -> None:
    tree.unit("llm.service")
    tree.write("etc/graviton-agent/graviton-agent.toml", '[units."llm.service"]\n')
    tree.link(f"etc/systemd/system/{SERVICE}", "/dev/null")
    assert tree.generate() == {}


def test_the_agents_own_services_are_never_managed(tree: Tree) -> None:
    names = (
        "graviton-agent.service",
        "graviton-agent-calibrate@.service",
        "graviton-agent-calibrate@x.service",
        "graviton-agent-check@.service",
        "graviton-agent-withdraw@.service",
    )
    tree.write(MAIN, "".join(f'[units."{name}"]\n' for name in names))
    tree.unit("graviton-agent.service", "[X-GravitonAgent]\n")
    assert tree.generate() == {}


BROKEN = [
    b"[units",
    b"\xff\xfe",
    b"units = 3",
    b"[units]\n'x.service' = 1",
    b"[[units]]",
    b"a" * 4096,
    b"[" * 9000,
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_is_passed_over_and_the_others_count(tree: Tree, broken: bytes) -> None:
    tree.write(MAIN, UNIT)
    tree.write("etc/graviton-agent/conf.d/10-broken.toml", broken)
    assert f"llm.service.d/{DROP_IN}" in tree.generate()


def test_a_broken_option_is_passed_over(tree: Tree) -> None:
    tree.write(MAIN, f'{UNIT}check = "no"\ncalibrate = 3\nthreads = -1\n')
    assert has_check(tree)


def test_fifos_devices_folders_and_dangling_links_are_passed_over(tree: Tree) -> None:
    for path in (
        "etc/graviton-agent/conf.d/fifo.toml",
        "etc/systemd/system/fifo.service",
        "etc/systemd/system/llm.service.d/fifo.conf",
    ):
        tree.write(path).unlink()
        os.mkfifo(tree.root / path)
    tree.link("etc/graviton-agent/conf.d/zero.toml", "/dev/zero")
    tree.link("etc/graviton-agent/conf.d/dangling.toml", "nowhere")
    tree.link("etc/graviton-agent/conf.d/loop.toml", "loop.toml")
    (tree.root / "etc/graviton-agent/conf.d/folder.toml").mkdir()
    tree.write(MAIN, UNIT)
    assert tree.generate().keys() == {f"llm.service.d/{DROP_IN}"}


def test_a_file_that_is_too_large_is_passed_over(tree: Tree) -> None:
    tree.write(MAIN, UNIT.encode() + b"#" * sources.LARGEST)
    assert tree.generate() == {}


NAMES = st.one_of(
    st.text(max_size=20),
    st.text("./\\@-:_a%\n", max_size=12).map(lambda text: f"{text}.service"),
    st.sampled_from(["../../x.service", "/etc/x.service", "..service", "a/../b.service", "@.service"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(NAMES, max_size=4))
def test_no_name_leads_to_a_file_outside_the_folder(tree: Tree, names: list[str]) -> None:
    def quoted(name: str) -> str:
        return '"' + "".join(f"\\U{ord(character):08x}" for character in name) + '"'

    tree.write(MAIN, "".join(f"[units.{quoted(name)}]\n" for name in dict.fromkeys(names)))
    out = tree.root / "a/b/generated"
    shutil.rmtree(tree.root / "a", ignore_errors=True)
    out.mkdir(parents=True)
    generate(str(out), str(tree.root))
    written = {str(path.relative_to(out)) for path in (tree.root / "a").rglob("*") if path.is_file()}
    assert written == {f"{name}.d/{DROP_IN}" for name in names if is_service_name(name)}


def test_without_the_arguments_that_systemd_gives_it_does_nothing() -> None:
    ran = subprocess.run([PROGRAMS / "graviton-agent-generator"], capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")


def test_a_folder_that_cannot_be_written_is_no_failure(tree: Tree) -> None:
    tree.write(MAIN, UNIT)
    tree.write("generated/llm.service.d", "a file in the way")
    assert tree.generate() == {"llm.service.d": "a file in the way"}


def test_a_folder_that_another_generator_has_made_is_used_too(tree: Tree) -> None:
    tree.write(MAIN, UNIT)
    tree.write("generated/llm.service.d/10-other.conf", "")
    assert f"llm.service.d/{DROP_IN}" in tree.generate()


def test_it_runs_through_a_link_and_leaves_no_byte_code(tree: Tree) -> None:
    installed = tree.root / "usr/lib/graviton-agent"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE / "agent", installed / "agent", ignore=ignore)
    shutil.copytree(SOURCE / "systemd", installed / "systemd", ignore=ignore)
    generator = tree.root / "usr/lib/systemd/system-generators/graviton-agent-generator"
    tree.link(str(generator), "../../graviton-agent/systemd/graviton-agent-generator")
    tree.write(MAIN, UNIT)
    out = tree.root / "generated"
    out.mkdir()
    command = [sys.executable, "-ISE", str(generator), *[str(out)] * 3, str(tree.root)]
    subprocess.run(command, check=True, env={})
    assert [path.name for path in out.iterdir()] == ["llm.service.d"]
    assert list(installed.rglob("__pycache__")) == []


def test_without_its_modules_it_says_nothing_and_does_not_fail(tree: Tree) -> None:
    copy = tree.root / "graviton-agent-generator"
    shutil.copy(PROGRAMS / "graviton-agent-generator", copy)
    ran = subprocess.run([sys.executable, "-ISE", copy, "llm.service"], capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")


def test_both_programs_name_the_same_interpreter() -> None:
    first = {
        path.read_text().partition("\n")[0]
        for path in (PROGRAMS / "graviton-agent-generator", PROGRAMS / "graviton-agent-check")
    }
    assert first == {"#!/usr/bin/python3 -ISE"}


def test_it_ends_when_its_time_is_over_whatever_it_does() -> None:
    code = (
        "from graviton_agent.units import generator\n"
        "generator.LONGEST_SECONDS = 1\n"
        "def generate(folder, root):\n"
        "    while True: pass\n"
        "generator.generate = generate\n"
        "generator.main(['generator', 'a', 'b', 'c'])\n"
    )
    environment = {"PYTHONPATH": str(SOURCE / "agent")}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, env=environment)


EXPENSIVE = {"ast", "asyncio", "dataclasses", "inspect", "json", "pathlib", "pydantic", "subprocess", "typer"}


@pytest.mark.parametrize(
    ("program", "more"),
    [
        ("graviton-agent-generator", {"enum", "re", "signal", "tomllib", "typing"}),
        ("graviton-agent-check", {"enum", "functools", "re", "signal", "typing"}),
    ],
)
def test_a_program_imports_nothing_that_costs_more_than_its_work(
    tree: Tree, program: str, more: set[str]
) -> None:
    tree.write("run/graviton-agent/environment/llm.service.env", "rubbish")
    tree.write(MAIN, UNIT)
    out = tree.root / "generated"
    out.mkdir()
    python = [sys.executable, "-X", "importtime", "-ISE"]
    arguments = (
        ["llm.service", str(tree.root)] if program.endswith("check") else [*[str(out)] * 3, str(tree.root)]
    )
    command = [*python, str(PROGRAMS / program), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "graviton_agent.units.names" in imported
    assert program.endswith("check") or list(out.iterdir())
    assert imported & (EXPENSIVE | more) == set()


PYTHON_3_9 = next(
    map(str, [*Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9"), *Path("/usr/bin").glob("python3.9")]),
    None,
)
"""What /usr/bin/python3 is on Amazon Linux 2023 and RHEL 9."""


@pytest.mark.skipif(PYTHON_3_9 is None, reason="there is no Python 3.9 here")
def test_both_programs_do_their_work_under_python_3_9(tree: Tree) -> None:
    python = [str(PYTHON_3_9), "-ISE"]
    tree.write("run/graviton-agent/environment/llm.service.env", "rubbish")
    tree.write(MAIN, UNIT)
    tree.write("etc/graviton-agent/conf.d/10-a.toml", '[units."other.service"]\n')
    tree.write("etc/graviton-agent/conf.d/20-not-plain.toml", "[quiet]\na = [\n1]\n")
    out = tree.root / "generated"
    out.mkdir()
    subprocess.run([*python, PROGRAMS / "graviton-agent-generator", *[out] * 3, tree.root], check=True)
    assert {path.name for path in out.iterdir()} == {"llm.service.d", "other.service.d"}
    check = [*python, str(PROGRAMS / "graviton-agent-check"), "llm.service", str(tree.root)]
    ran = subprocess.run(check, check=True, capture_output=True, text=True)
    assert "withdrew the environment of llm.service" in ran.stderr
