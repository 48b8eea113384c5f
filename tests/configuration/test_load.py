"""What a unit comes to, and whence each value comes."""

import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graviton_agent.configuration.load import Loaded
from tests.configuration.tree import MAIN, Tree


def value(loaded: Loaded, unit: str, option: str) -> object:
    """The value in use of a unit's option."""
    return loaded.units[unit][option].value


def origin(tree: Tree, loaded: Loaded, unit: str, option: str) -> str:
    """The place of a unit's option, below the root."""
    return str(loaded.units[unit][option].origin).removeprefix(f"{tree.root}/")


def test_a_unit_takes_from_the_defaults_what_its_section_leaves_out(tree: Tree) -> None:
    loaded = tree.load('[defaults]\nthreads = 4\n[units."llm.service"]\nprocesses = 2\n')
    assert value(loaded, "llm.service", "threads") == 4
    assert origin(tree, loaded, "llm.service", "threads") == f"{MAIN}:2"
    assert origin(tree, loaded, "llm.service", "processes") == f"{MAIN}:4"
    assert loaded.units["llm.service"]["budget"].origin is None


def test_a_later_file_wins_option_by_option(tree: Tree) -> None:
    tree.write(
        "etc/graviton-agent/conf.d/60-local.toml", '[units."llm.service"]\nthreads = 8\npin.A = "later"\n'
    )
    loaded = tree.load('[units."llm.service"]\nthreads = 4\nprocesses = 2\npin = { A = "1", B = "2" }\n')
    assert value(loaded, "llm.service", "threads") == 8
    assert value(loaded, "llm.service", "processes") == 2
    assert value(loaded, "llm.service", "pin.A") == "later"
    assert value(loaded, "llm.service", "pin.B") == "2"


def test_an_instance_takes_from_its_template(tree: Tree) -> None:
    loaded = tree.load(
        '[units."llm@.service"]\nthreads = 4\nprocesses = 2\n[units."llm@1.service"]\nthreads = 8\n'
    )
    assert value(loaded, "llm@1.service", "threads") == 8
    assert value(loaded, "llm@1.service", "processes") == 2
    assert value(loaded, "llm@.service", "threads") == 4


def test_a_unit_opts_in_by_its_own_file(tree: Tree) -> None:
    tree.unit(
        "llm.service", "[Service]\nExecStart=/x\n\n[X-GravitonAgent]\nThreads=4\nForbid=bf16, threads\n"
    )
    loaded = tree.load()
    assert value(loaded, "llm.service", "threads") == 4
    assert value(loaded, "llm.service", "forbid") == ("bf16", "threads")
    assert origin(tree, loaded, "llm.service", "threads") == "etc/systemd/system/llm.service:5"


def test_an_empty_section_in_a_drop_in_opts_in_too(tree: Tree) -> None:
    tree.write("usr/lib/systemd/system/llm.service", "[Service]\nExecStart=/x\n")
    tree.write("etc/systemd/system/llm.service.d/tuning.conf", "[X-GravitonAgent]\n")
    assert list(tree.load().units) == ["llm.service"]


def test_a_drop_in_for_all_services_opts_none_in(tree: Tree) -> None:
    tree.unit("llm.service")
    tree.write("etc/systemd/system/service.d/all.conf", "[X-GravitonAgent]\n")
    assert tree.load().units == {}


def test_the_configuration_has_the_last_word_over_the_units_own_section(tree: Tree) -> None:
    tree.unit("llm.service", "[X-GravitonAgent]\nThreads=4\nProcesses=2\n")
    loaded = tree.load('[units."llm.service"]\nthreads = 8\n')
    assert value(loaded, "llm.service", "threads") == 8
    assert value(loaded, "llm.service", "processes") == 2


def test_the_units_own_section_wins_over_the_defaults(tree: Tree) -> None:
    tree.unit("llm.service", "[X-GravitonAgent]\nThreads=4\n")
    assert value(tree.load("[defaults]\nthreads = 8\n"), "llm.service", "threads") == 4


def test_a_templates_own_section_does_not_come_back_over_the_templates_configuration(tree: Tree) -> None:
    tree.unit("llm@.service", "[X-GravitonAgent]\nThreads=4\n")
    loaded = tree.load('[units."llm@.service"]\nthreads = 8\n[units."llm@1.service"]\n')
    assert value(loaded, "llm@1.service", "threads") == 8


@pytest.mark.parametrize(
    ("assignment", "option", "expected"),
    [
        ("AllowBf16=yes", "allow_bf16", True),
        ("Check=off", "check", False),
        ("Threads=auto", "threads", None),
        ("Settings=all", "settings", None),
        ("Settings=bf16 threads", "settings", ("bf16", "threads")),
        ("MinCosine=0.999", "min_cosine", 0.999),
        ("MemoryMargin=64M", "memory_margin", (64 * 1024**2, 0.0)),
        ("MemoryMargin=10%", "memory_margin", (0, 0.1)),
        ("Budget=200", "budget", 200.0),
        ("Budget=2min", "budget", 120.0),
        ("Batches=1:0.7,32:0.3", "batches", "1:0.7,32:0.3"),
        ("Layers=8x8,\\\n  8x4", "layers", "8x8, 8x4"),
        ("Calibrate=before-start", "calibrate", "before-start"),
        ("Python=/opt/venv/bin/python", "python", "/opt/venv/bin/python"),
        ("Pin=A=1 'B=2 3'", "pin.B", "2 3"),
    ],
)
def test_options_are_written_in_unit_files_as_systemd_writes_its_own(
    tree: Tree, assignment: str, option: str, expected: object
) -> None:
    tree.unit("llm.service", f"[X-GravitonAgent]\n{assignment}\n")
    loaded = tree.load()
    assert loaded.problems == ()
    assert value(loaded, "llm.service", option) == expected


def test_a_disabled_unit_is_named_as_unmanaged_with_the_line(tree: Tree) -> None:
    loaded = tree.load('[units."llm.service"]\nenabled = false\n')
    assert loaded.unmanaged == {"llm.service": f"disabled in {tree.root}/{MAIN}:2"}


def test_an_error_in_a_section_leaves_that_unit_alone_unmanaged(tree: Tree) -> None:
    loaded = tree.load('[units."a.service"]\nforbid = ["bf61"]\n[units."b.service"]\n')
    assert list(loaded.unmanaged) == ["a.service"]


@pytest.mark.parametrize("wrong", ["enabeld = false", '[defaults]\nforbid = ["bf61"]'])
def test_an_error_that_concerns_all_units_leaves_all_unmanaged(tree: Tree, wrong: str) -> None:
    loaded = tree.load(f'{wrong}\n[units."a.service"]\n[units."b.service"]\n')
    assert list(loaded.unmanaged) == ["a.service", "b.service"]


def test_an_error_in_a_templates_section_concerns_its_instances(tree: Tree) -> None:
    loaded = tree.load('[units."a@.service"]\nthreads = 0\n[units."a@1.service"]\nthreads = 2\n')
    assert list(loaded.unmanaged) == ["a@.service", "a@1.service"]


def test_a_file_that_is_not_toml_is_passed_over(tree: Tree) -> None:
    tree.write("etc/graviton-agent/conf.d/50-broken.toml", "[units\n")
    loaded = tree.load('[units."llm.service"]\n')
    assert list(loaded.units) == ["llm.service"]
    assert loaded.unmanaged == {}
    assert len(loaded.problems) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_no_bytes_in_a_file_make_loading_fail(tree: Tree, content: bytes) -> None:
    tree.write(MAIN, content)
    tree.load()


SCALARS = st.one_of(st.booleans(), st.integers(-5, 2000), st.floats(), st.text(max_size=6))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
)
OPTIONS = st.sampled_from(
    [
        "enabled",
        "python",
        "layers",
        "batches",
        "threads",
        "settings",
        "forbid",
        "pin",
        "budget",
        "check",
        "units",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.dictionaries(OPTIONS, TREES, max_size=5))
def test_no_value_of_any_type_makes_loading_fail(tree: Tree, options: dict[str, object]) -> None:
    body = "".join(f"{name} = {as_toml(options[name])}\n" for name in options)
    text = f"[defaults]\n{body}[quiet]\n{body}[units.'llm.service']\n{body}"
    tomllib.loads(text)
    loaded = tree.load(text)
    assert "llm.service" in loaded.units


def as_toml(value: object) -> str:
    """Any value of the strategies above, in TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key)} = {as_toml(value[key])}" for key in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return str(value).lower()
