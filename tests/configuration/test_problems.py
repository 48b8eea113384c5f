"""What a person is told about a mistake: file, line, option, what is wrong, what was meant."""

import os

import pytest

from graviton_agent.configuration.advice import advise
from graviton_agent.configuration.problem import Severity
from graviton_agent.units.unit_files import UnitFiles
from tests.configuration.tree import MAIN, Tree

UNIT = '[units."llm.service"]\n'
LLM = 'units."llm.service"'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("batchs = '10'", "batchs: there is no such option; did you mean batches?"),
        ("Threads = 4", "Threads: there is no such option; did you mean threads?"),
        ("quantum = 4", "quantum: there is no such option"),
        ("preset = 'lama'", "preset: 'lama' is not known here; did you mean llama?"),
        ("batches = [10, 32]", 'batches: a list can\'t stand here; write "10,32"'),
        (
            "batches = '10,ten'",
            "batches: 'ten' in 'ten' is no size; sizes are whole numbers from 1 to 1048576",
        ),
        ("forbid = 'bf16'", "forbid: 'bf16' is no list; write [\"bf16\"]"),
        ("forbid = ['thread']", "forbid: 'thread' is not known here; did you mean threads?"),
        (
            "settings = ['OMP_NUM_THREADS']",
            'settings: OMP_NUM_THREADS is a variable; its setting is called "threads"',
        ),
        ("check = 'yes'", "check: 'yes' is neither true nor false; write true, without quotes"),
        (
            "threads = '4'",
            (
                "threads: '4' is no such number; "
                'write a whole number from 1 to 1024, without quotes, or "auto"'
            ),
        ),
        (
            "processes = 0",
            "processes: '0' is no such number; write a whole number from 1 to 256, without quotes",
        ),
        ("python = 'python3'", "python: 'python3' is no absolute path"),
        ("python = 3", "python: '3' is no text; write it in quotes: \"3\""),
        ("budget = '5m'", "budget: '5m' is no time; write seconds, or 90s, or 2min, or 1h"),
        ("budget = 3", "budget: '3' is out of bounds; take 10 to 86400 seconds"),
        ("budget = nan", "budget: 'nan' is out of bounds; take 10 to 86400 seconds"),
        (
            "min_cosine = 99",
            "min_cosine: '99' is no such number; write a number from 0 to 1, without quotes",
        ),
        ("memory_margin = '64X'", "memory_margin: '64X' is no size; write bytes, or 64M, or 4G"),
        ("calibrate = 'quiet'", "calibrate: 'quiet' is not known here; did you mean when-quiet?"),
        ("restart = 'always'", "restart: 'always' is not known here; there are never"),
        ("pin = 'A=1'", 'pin: this is a table; write pin = { NAME = "value" }'),
        (
            "pin.'A B' = '1'",
            "pin.A B: no variable can have this name; names have letters, digits and _ alone",
        ),
        ("pin.A = ''", "pin.A: '' is no value for a variable; write what the unit really has, in quotes"),
    ],
)
def test_a_wrong_option_of_a_unit_is_told_with_its_line(tree: Tree, line: str, expected: str) -> None:
    (problem,) = tree.problems(f"{UNIT}allow_bf16 = true\n{line}\n")
    assert problem.startswith(f"{MAIN}:3: error: {LLM}.{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enabeld = false", "1: error: enabeld: there is no such option; did you mean enabled?"),
        (
            "threads = 4",
            (
                "1: error: threads: there is no such option; "
                'options of units stand in [defaults] or in [units."NAME.service"]'
            ),
        ),
        ('\n[unit."llm.service"]', "2: error: unit: there is no such option; did you mean units?"),
        ("units = 3", "1: error: units: this is a table; write [units]"),
        ("[quiet]\nlod = 1", "2: error: quiet.lod: there is no such option; did you mean load?"),
        (
            "[units.llm.service]\nthreads = 4",
            '1: error: units.llm.service: a dot divides names; did you mean [units."llm.service"]?',
        ),
        (
            "[units.llm]\nthreads = 4",
            '1: error: units."llm": the name doesn\'t end in .service; did you mean [units."llm.service"]?',
        ),
        (
            '[units."a b.service"]',
            (
                "1: error: units.\"a b.service\": the name has the character ' ', "
                "which is not allowed in the name of a unit"
            ),
        ),
        (
            '[units."../../x.service"]',
            (
                "1: error: units.\"../../x.service\": the name has the character '/', "
                "which is not allowed in the name of a unit"
            ),
        ),
        (
            '[units."graviton-agent.service"]',
            '1: error: units."graviton-agent.service": the agent can\'t manage its own services',
        ),
        ('[units]\n"llm.service" = 1', f"2: error: {LLM}: this is a table; write [{LLM}]"),
        ("a = \nb = 1", "1: error: this is not TOML: Invalid value"),
        ('a = """\n', "2: error: this is not TOML: "),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tree: Tree, text: str, expected: str) -> None:
    (problem,) = tree.problems(text)
    assert problem.startswith(f"{MAIN}:{expected}")


def test_bytes_that_are_not_utf8_are_told_with_their_line(tree: Tree) -> None:
    tree.write(MAIN, b"a = 1\nb = '\xff'\n")
    assert tree.problems() == [f"{MAIN}:2: error: this is not UTF-8"]


def test_what_is_no_regular_file_is_told(tree: Tree) -> None:
    os.mkfifo(tree.write(MAIN).with_name("x"))
    (tree.root / MAIN).unlink()
    (tree.root / MAIN).with_name("x").rename(tree.root / MAIN)
    (problem,) = tree.problems()
    assert problem.startswith(f"{MAIN}: error: it is unreadable, no regular file, or larger than")


def test_a_wrong_option_of_a_units_own_section_is_told_with_the_unit_files_line(tree: Tree) -> None:
    tree.unit("llm.service", "[Service]\nExecStart=/x\n[X-GravitonAgent]\nallowbf16=yes\nThreads=four\n")
    assert tree.problems() == [
        (
            "etc/systemd/system/llm.service:4: error: llm.service [X-GravitonAgent].allowbf16: "
            "there is no such option; did you mean AllowBf16?"
        ),
        (
            "etc/systemd/system/llm.service:5: error: llm.service [X-GravitonAgent].threads: "
            "'four' is no such number; write a whole number from 1 to 1024, without quotes, or \"auto\""
        ),
    ]


def warnings(tree: Tree, main: str) -> list[str]:
    """The warnings about a configuration without errors."""
    loaded = tree.load(main)
    assert loaded.problems == ()
    found = advise(loaded, UnitFiles(str(tree.root)))
    assert {problem.severity for problem in found} <= {Severity.WARNING}
    return [str(problem).removeprefix(f"{tree.root}/").replace(": warning: ", " ", 1) for problem in found]


def test_a_unit_that_is_installed_and_plain_has_no_warning(tree: Tree) -> None:
    tree.unit("llm.service")
    assert warnings(tree, UNIT) == []


def test_an_instance_of_an_installed_template_has_no_warning(tree: Tree) -> None:
    tree.unit("llm@.service")
    assert warnings(tree, '[units."llm@1.service"]') == []


def test_a_unit_that_is_not_installed_is_told_with_the_one_that_was_meant(tree: Tree) -> None:
    tree.unit("llm-serve.service")
    (warning,) = warnings(tree, '[units."llm-server.service"]')
    assert warning == (
        f"{MAIN}:1 llm-server.service: no unit of this name is installed; did you mean llm-serve.service?"
    )


def test_an_alias_is_told_with_the_units_own_name(tree: Tree) -> None:
    tree.unit("serve.service")
    tree.link("etc/systemd/system/llm.service", "serve.service")
    (warning,) = warnings(tree, UNIT)
    assert warning.endswith('this is another name of serve.service; write [units."serve.service"]')


def test_a_masked_unit_is_told(tree: Tree) -> None:
    tree.link("etc/systemd/system/llm.service", os.devnull)
    assert warnings(tree, UNIT) == [f"{MAIN}:1 llm.service: this unit is masked"]


@pytest.mark.parametrize("line", ["DefaultDependencies=no", "Before=graviton-agent.service"])
def test_a_unit_that_starts_before_the_agent_is_told(tree: Tree, line: str) -> None:
    tree.unit("llm.service", f"[Unit]\n{line}\n")
    first, second = warnings(tree, f'{UNIT}calibrate = "before-start"\n')
    assert "it starts in early boot or before the agent" in first
    assert second == f"{MAIN}:2 llm.service: it can't wait for its calibration either"


@pytest.mark.parametrize("key", ["RootDirectory", "RootImage"])
def test_a_root_of_its_own_is_nothing_to_warn_of(tree: Tree, key: str) -> None:
    tree.unit("llm.service", f"[Service]\n{key}=/opt/root\n")
    assert warnings(tree, UNIT) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            'settings = ["bf16"]',
            "2 llm.service: bf16 is not tried without consent; set allow_bf16 = true if you consent",
        ),
        (
            'settings = ["threads"]\nforbid = ["threads"]',
            "2 llm.service: threads is forbidden too, and is not tried",
        ),
        (
            'calibrate = "before-start"\nbudget = "5min"',
            (
                "3 llm.service: a calibration may take 300 s, but starts wait for 180 s in all; "
                "lower `budget`, or raise `gates`"
            ),
        ),
        (
            'threads = 4\npin.OMP_NUM_THREADS = "8"',
            "2 llm.service: threads are held at 4, but OMP_NUM_THREADS is pinned to 8",
        ),
        (
            'pin.OMP_NUM_THREAD = "8"',
            "2 llm.service: nothing reads OMP_NUM_THREAD; did you mean OMP_NUM_THREADS?",
        ),
    ],
)
def test_what_does_not_go_together_is_told(tree: Tree, options: str, expected: str) -> None:
    tree.unit("llm.service")
    assert warnings(tree, f"{UNIT}{options}\n") == [f"{MAIN}:{expected}"]


@pytest.mark.parametrize(
    "pin", ['MKL_NUM_THREADS = "4"', 'MALLOC_ARENA_MAX = "2"', 'DNNL_DEFAULT_FPMATH_MODE = "BF16"']
)
def test_variables_that_something_reads_may_be_pinned(tree: Tree, pin: str) -> None:
    tree.unit("llm.service")
    assert warnings(tree, f"{UNIT}pin = {{ {pin} }}\n") == []
