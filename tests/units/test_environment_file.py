"""Environment files, written and read strictly."""

import os
import string
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.errors import StateError
from graviton_agent.units import environment_file
from graviton_agent.units.environment_file import NAMES, EnvironmentFile, Variable, parse, render
from tests.units.machine import VARIABLES

FACTS = {
    "boot": "69d4",
    "cpu": "0x41:0xd40",
    "instance": "c7g.xlarge",
    "thp": "madvise",
    "file /opt/a b": "1:2:3",
}
FILE = EnvironmentFile("llm.service", FACTS, VARIABLES)
TEXT = """# graviton-agent environment 1
# unit llm.service
# made for boot = 69d4
# made for cpu = 0x41:0xd40
# made for instance = c7g.xlarge
# made for thp = madvise
# made for file /opt/a b = 1:2:3
# at least 1.28x as fast, measured on 2026-11-23
DNNL_DEFAULT_FPMATH_MODE=BF16
# at least 1.28x as fast, measured on 2026-11-23
OMP_NUM_THREADS=4
"""


def test_every_variable_has_its_gain_and_date_above_it() -> None:
    assert render(FILE) == TEXT


def test_what_was_written_is_read_as_it_was() -> None:
    assert parse(TEXT, "llm.service") == FILE


def test_the_environment_is_names_and_values() -> None:
    assert FILE.environment == {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "OMP_NUM_THREADS": "4"}


VALUES = st.text(string.ascii_letters + string.digits + "_.,:+-", min_size=1, max_size=128)
GAINS = st.integers(1, 999_999).map(lambda hundredths: hundredths / 100)
PATHS = (
    st.text(max_size=30)
    .map(lambda text: f"file /{text}")
    .filter(lambda name: name.isprintable() and name == name.strip())
)
FACT_TEXTS = st.text(string.ascii_letters + string.digits + ".:+-_", min_size=1, max_size=30)


@st.composite
def files(draw: st.DrawFn) -> EnvironmentFile:
    names = draw(st.lists(st.sampled_from(sorted(NAMES)), min_size=1, unique=True))
    variables = tuple(
        Variable(name, draw(VALUES), draw(GAINS), draw(st.dates(min_value=date(1000, 1, 1))))
        for name in names
    )
    return EnvironmentFile(
        unit=draw(st.sampled_from(["llm.service", "llm@.service", "a-b\\x2dc@1.service"])),
        made_for=FACTS | draw(st.dictionaries(PATHS, FACT_TEXTS, max_size=4)),
        variables=variables,
    )


@given(files())
def test_every_file_comes_back_as_it_was(file: EnvironmentFile) -> None:
    assert parse(render(file), file.unit) == file


@given(files())
def test_systemd_would_read_just_the_variables(file: EnvironmentFile) -> None:
    assert read_as_systemd_does(render(file)) == file.environment


def read_as_systemd_does(text: str) -> dict[str, str]:
    """The rules of EnvironmentFile= for text without quotes [systemd.exec(5)].

    Up to version 253 a backslash at the end of a comment makes the next line a part of it.
    """
    environment: dict[str, str] = {}
    for line in text.replace("\\\n", "").split("\n"):
        if line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            assert not set(value) & set("\\'\" \t")
            environment[name] = value
    return environment


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="ascii"))
def test_a_changed_character_is_noticed_unless_it_makes_another_proper_file(at: int, character: str) -> None:
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    try:
        file = parse(changed, "llm.service")
    except StateError:
        return
    assert render(file) == changed


@given(st.text())
def test_any_text_is_either_read_or_refused(text: str) -> None:
    with pytest.raises(StateError):
        parse(text, "llm.service")


@given(st.integers(0, len(TEXT) - 1))
def test_half_a_file_is_refused(length: int) -> None:
    try:
        file = parse(TEXT[:length], "llm.service")
    except StateError:
        return
    assert len(file.variables) == 1


def test_another_units_file_is_refused() -> None:
    with pytest.raises(StateError):
        parse(TEXT, "other.service")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMP_NUM_THREADS", ""),
        ("OMP_NUM_THREADS", " 4"),
        ("OMP_NUM_THREADS", "4\n"),
        ("OMP_NUM_THREADS", "4\nLD_PRELOAD=/tmp/x.so"),
        ("OMP_NUM_THREADS", "$(reboot)"),
        ("OMP_NUM_THREADS", "'4'"),
        ("OMP_NUM_THREADS", "a\\"),
        ("OMP_NUM_THREADS", "é"),
        ("OMP_NUM_THREADS", "x" * 129),
        ("LD_PRELOAD", "x.so"),
        ("PATH", "x"),
        ("", "4"),
        ("OMP_NUM_THREADS ", "4"),
    ],
)
def test_a_variable_that_no_setting_writes_or_a_strange_value_is_refused(name: str, value: str) -> None:
    with pytest.raises(StateError):
        Variable(name, value, 1.28, date(2026, 11, 23))


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf"), 10_000.0])
def test_a_gain_that_is_none_is_refused(gain: float) -> None:
    with pytest.raises(StateError):
        Variable("OMP_NUM_THREADS", "4", gain, date(2026, 11, 23))


@pytest.mark.parametrize(
    ("unit", "facts", "variables"),
    [
        ("../llm.service", FACTS, VARIABLES),
        ("llm.service", {}, VARIABLES),
        ("llm.service", {name: FACTS[name] for name in FACTS if name != "boot"}, VARIABLES),
        ("llm.service", FACTS, ()),
        ("llm.service", FACTS, VARIABLES + VARIABLES[:1]),
    ],
)
def test_a_file_that_would_say_too_little_or_twice_is_refused(
    unit: str, facts: dict[str, str], variables: tuple[Variable, ...]
) -> None:
    with pytest.raises(StateError):
        EnvironmentFile(unit, facts, variables)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("file /a\nLD_PRELOAD=x", "1"),
        ("file /a\udcff", "1"),
        ("file /a", "1\n"),
        ("file /a", "a = b"),
        ("file /a", ""),
    ],
)
def test_a_fact_that_no_line_can_carry_is_refused(name: str, text: str) -> None:
    with pytest.raises(StateError, match="can't depend on"):
        render(EnvironmentFile("llm.service", {**FACTS, name: text}, VARIABLES))


def test_writing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    assert environment_file.write(tmp_path, FILE) is True
    before = (tmp_path / "llm.service.env").stat()
    assert environment_file.write(tmp_path, FILE) is False
    after = (tmp_path / "llm.service.env").stat()
    # Reading it may have changed the time of its last reading.
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert before.st_mode & 0o777 == 0o600
    assert environment_file.read(tmp_path, "llm.service") == FILE
    assert [path.name for path in tmp_path.iterdir()] == ["llm.service.env"]


def test_a_link_in_the_place_of_the_file_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text(render(FILE))
    (tmp_path / "llm.service.env").symlink_to(target)
    assert environment_file.write(tmp_path, FILE) is True
    assert not (tmp_path / "llm.service.env").is_symlink()


def test_a_file_is_there_or_not(tmp_path: Path) -> None:
    assert environment_file.read(tmp_path, "llm.service") is None
    assert environment_file.remove(tmp_path, "llm.service") is False
    environment_file.write(tmp_path, FILE)
    assert environment_file.remove(tmp_path, "llm.service") is True
    assert environment_file.read(tmp_path, "llm.service") is None


@pytest.mark.parametrize("content", [b"", b"OMP_NUM_THREADS=4\n", b"\xff", b"#" * 100_000, None])
def test_what_the_agent_did_not_write_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "llm.service.env"
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    with pytest.raises(StateError):
        environment_file.read(tmp_path, "llm.service")
