"""`enable` and `disable`: a section of the unit's own, and nothing written that makes no sense."""

import errno
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.configuration.load import compile_configuration
from graviton_agent.configuration.model import UnitOptions
from graviton_agent.control import sections
from graviton_agent.control.sections import disable, enable, path_of, require_installed
from graviton_agent.errors import StateError, UsageError
from graviton_agent.root import Root
from tests.configuration.tree import Tree
from tests.control.systemd import FakeBus, missing, properties

UNIT = "llm.service"
ESCAPED = "llm@a\\x20b.service"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A system with a unit and a template."""
    tree = Tree(tmp_path)
    tree.unit(UNIT)
    tree.unit("llm@.service")
    return tree


def written(tree: Tree, unit: str = UNIT) -> dict[str, Any]:
    """The options in the unit's own file."""
    found: dict[str, Any] = tomllib.loads(path_of(unit, Root(tree.root)).read_text())["units"][unit]
    return found


def is_managed(tree: Tree, unit: str = UNIT) -> bool:
    return compile_configuration(str(tree.root)).unit(unit) is not None


OPTIONS: dict[str, Any] = {
    "batches": "1:0.7,32:0.3",
    "layers": "768x768,768x10",
    "preset": "bert-base",
    "processes": 4,
    "threads": 2,
    "python": "/opt/app/venv/bin/python",
    "settings": ["bf16", "threshold"],
    "forbid": ["huge-pages"],
    "pin": {"MALLOC_ARENA_MAX": "2"},
    "allow_bf16": True,
    "min_cosine": 0.999,
    "memory_margin": "10%",
    "budget": "5min",
    "timeout": "10min",
    "calibrate": "manual",
}


def test_an_enabled_unit_is_managed_with_its_options(tree: Tree) -> None:
    enable(UNIT, OPTIONS, Root(tree.root))
    assert written(tree) == {"enabled": True, **OPTIONS}
    unit = compile_configuration(str(tree.root)).unit(UNIT)
    assert unit is not None
    assert (unit.threads, unit.pin, unit.budget_seconds) == (2, {"MALLOC_ARENA_MAX": "2"}, 300.0)


def test_every_option_of_a_unit_can_be_given_but_two() -> None:
    assert set(UnitOptions.model_fields) - set(OPTIONS) == {"enabled", "restart", "check"}


@pytest.mark.parametrize("unit", [UNIT, "llm@.service", "llm@1.service", ESCAPED])
def test_any_name_of_a_service_can_be_enabled_and_disabled(tree: Tree, unit: str) -> None:
    enable(unit, {}, Root(tree.root))
    assert is_managed(tree, unit)
    disable(unit, Root(tree.root))
    assert not is_managed(tree, unit)


def test_enabled_once_more_it_keeps_what_is_not_given(tree: Tree) -> None:
    enable(UNIT, {"batches": "1", "allow_bf16": True}, Root(tree.root))
    enable(UNIT, {"batches": "8"}, Root(tree.root))
    assert written(tree) == {"enabled": True, "batches": "8", "allow_bf16": True}


def test_a_disabled_unit_comes_back_with_its_options(tree: Tree) -> None:
    enable(UNIT, {"batches": "1"}, Root(tree.root))
    disable(UNIT, Root(tree.root))
    assert not is_managed(tree)
    enable(UNIT, {}, Root(tree.root))
    assert written(tree)["batches"] == "1"


def test_a_unit_that_another_file_enables_can_be_disabled(tree: Tree) -> None:
    tree.write("etc/graviton-agent/graviton-agent.toml", f'[units."{UNIT}"]\nbatches = "1"\n')
    disable(UNIT, Root(tree.root))
    assert not is_managed(tree)


def test_one_instance_of_a_managed_template_can_be_disabled(tree: Tree) -> None:
    enable("llm@.service", {}, Root(tree.root))
    disable("llm@1.service", Root(tree.root))
    assert not is_managed(tree, "llm@1.service")
    assert is_managed(tree, "llm@2.service")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"forbid": ["bf61"]}, "forbid: 'bf61' is not known here", "did you mean bf16?"),
        ({"batches": "1;8"}, "batches: '1;8' in '1;8' is no size", "sizes are whole numbers"),
        ({"preset": "gpt"}, "preset: 'gpt' is not known here", "there are tutorial"),
        ({"python": "python3"}, "python: 'python3' is no absolute path", "write one such as"),
        ({"calibrate": "never"}, "calibrate: 'never' is not known here", "there are before-start"),
        ({"pin": {"A B": "1"}}, "pin.A B: no variable can have this name", "letters, digits and _"),
        ({"budget": "1s"}, "budget: '1s' is out of bounds", "take 10 to"),
    ],
)
def test_what_makes_no_sense_is_refused_as_config_check_would(
    tree: Tree, options: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        enable(UNIT, options, Root(tree.root))
    assert caught.value.message == message
    assert hint in str(caught.value.hint)


def test_what_is_refused_leaves_everything_as_it_was(tree: Tree) -> None:
    root = Root(tree.root)
    with pytest.raises(UsageError):
        enable(UNIT, {"threads": 0}, root)
    assert not path_of(UNIT, root).exists()
    enable(UNIT, {"threads": 2}, root)
    before = path_of(UNIT, root).read_bytes()
    with pytest.raises(UsageError):
        enable(UNIT, {"threads": 0}, root)
    assert path_of(UNIT, root).read_bytes() == before


def test_what_is_refused_is_never_written_so_that_no_full_disk_can_keep_it_there(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Root(tree.root)
    enable(UNIT, {"threads": 2}, root)
    before = path_of(UNIT, root).stat().st_ctime_ns
    monkeypatch.setattr(sections, "write_atomically", lambda *_: pytest.fail("something is written"))
    with pytest.raises(UsageError):
        enable(UNIT, {"threads": 0}, root)
    assert path_of(UNIT, root).stat().st_ctime_ns == before


def test_a_disk_that_is_full_leaves_the_former_section(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(tree.root)
    enable(UNIT, {"threads": 2}, root)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match=r"can't write .*50-llm\.service\.toml: No space left on device"):
        enable(UNIT, {"threads": 3}, root)
    assert written(tree)["threads"] == 2
    assert [path.name for path in path_of(UNIT, root).parent.iterdir()] == [f"50-{UNIT}.toml"]


def test_a_later_file_that_disables_the_unit_is_named(tree: Tree) -> None:
    tree.write("etc/graviton-agent/conf.d/60-a.toml", f'[units."{UNIT}"]\nenabled = false\n')
    with pytest.raises(UsageError, match=r"another file decides on llm\.service: disabled in .*60-a\.toml:2"):
        enable(UNIT, {}, Root(tree.root))


def test_so_is_one_that_enables_it_all_the_same(tree: Tree) -> None:
    enable(UNIT, {}, Root(tree.root))
    tree.write("etc/graviton-agent/conf.d/60-a.toml", f'[units."{UNIT}"]\nenabled = true\n')
    with pytest.raises(UsageError, match=r"another file decides on llm\.service: enabled in .*60-a\.toml:2"):
        disable(UNIT, Root(tree.root))
    assert is_managed(tree)


def test_an_option_that_a_later_file_decides_is_told(tree: Tree) -> None:
    tree.write("etc/graviton-agent/conf.d/60-a.toml", f'[units."{UNIT}"]\nbatches = "2"\n')
    (warning,) = enable(UNIT, {"batches": "1"}, Root(tree.root)).warnings
    assert warning.startswith("batches is decided by ")
    assert warning.endswith("60-a.toml:2")


def test_what_config_check_warns_of_is_told(tree: Tree) -> None:
    (warning,) = enable(UNIT, {"settings": ["bf16"]}, Root(tree.root)).warnings
    assert warning == "bf16 is not tried without consent; set allow_bf16 = true if you consent"


@pytest.mark.parametrize("text", ["", '[units."llm.service"]\n', "not toml", "[units]\n"])
def test_a_file_that_somebody_else_wrote_is_left_alone(tree: Tree, text: str) -> None:
    path = tree.write(f"etc/graviton-agent/conf.d/50-{UNIT}.toml", text)
    with pytest.raises(StateError, match="was not written by this command"):
        enable(UNIT, {}, Root(tree.root))
    assert path.read_text() == text


def test_a_unit_that_is_not_managed_can_not_be_disabled(tree: Tree) -> None:
    enable(UNIT, {}, Root(tree.root))
    with pytest.raises(UsageError, match=r"lm\.service is not managed") as caught:
        disable("lm.service", Root(tree.root))
    assert caught.value.hint == "did you mean llm.service?"


@pytest.mark.parametrize("name", ["llm", "../etc.service", "a b.service"])
def test_what_is_no_name_of_a_service_is_refused(tree: Tree, name: str) -> None:
    with pytest.raises(UsageError):
        require_installed(name, Root(tree.root), None)
    with pytest.raises(UsageError):
        disable(name, Root(tree.root))


# What is installed


def test_a_unit_or_template_with_a_file_is_installed(tree: Tree) -> None:
    for name in (UNIT, "llm@.service", "llm@1.service"):
        assert require_installed(name, Root(tree.root), None) == name


def test_a_unit_that_systemd_alone_knows_is_installed_too(tree: Tree) -> None:
    bus = FakeBus()
    bus.add(properties("generated.service"))
    assert require_installed("generated.service", Root(tree.root), bus) == "generated.service"


def test_one_that_nobody_knows_is_not(tree: Tree) -> None:
    bus = FakeBus()
    bus.add(missing("lllm.service"))
    for known in (None, bus):
        with pytest.raises(UsageError, match=r"there is no unit lllm\.service") as caught:
            require_installed("lllm.service", Root(tree.root), known)
        assert caught.value.hint == "did you mean llm.service?"
    with pytest.raises(UsageError, match=r"there is no template web@\.service"):
        require_installed("web@.service", Root(tree.root), bus)


def test_another_name_of_a_unit_leads_to_its_own(tree: Tree) -> None:
    bus = FakeBus()
    bus.add(properties(UNIT))
    bus.alias("alias.service", UNIT)
    tree.link("etc/systemd/system/alias.service", UNIT)
    for known in (None, bus):
        with pytest.raises(UsageError, match=r"alias\.service is another name of llm\.service") as caught:
            require_installed("alias.service", Root(tree.root), known)
        assert caught.value.hint == "graviton-agent enable llm.service"
