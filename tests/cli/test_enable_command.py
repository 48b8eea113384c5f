"""`enable` and `disable` in the tree of another system, such as an image that is being made."""

from pathlib import Path

import pytest

from graviton_agent.control import sections
from graviton_agent.errors import ExitCode
from graviton_agent.root import Root
from tests.cli.command import Command, failed


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with a unit."""
    (tmp_path / "image/etc/systemd/system").mkdir(parents=True)
    (tmp_path / "image/etc/systemd/system/llm.service").write_text("[Service]\nExecStart=python3\n")
    return tmp_path / "image"


def test_a_unit_of_an_image_can_be_enabled_and_disabled(command: Command, image: Path) -> None:
    result = command(
        "enable", "llm.service", "--root", image, "--batch", "1,8", "--pin", "MALLOC_ARENA_MAX=2"
    )
    path = sections.path_of("llm.service", Root(image))
    assert result.code == ExitCode.OK
    assert "systemd has not read it yet: systemctl daemon-reload" in result.out
    assert path.read_text().splitlines()[2:] == [
        "enabled = true",
        'batches = "1,8"',
        'pin = { "MALLOC_ARENA_MAX" = "2" }',
    ]
    assert command("disable", "llm.service", "--root", image).code == ExitCode.OK
    assert "enabled = false" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "many"], "batches: 'many' in 'many' is no size"),
        (["--forbid", "bf16,bf61"], "forbid: 'bf61' is not known here"),
        (["--pin", "OMP_NUM_THREADS"], "'OMP_NUM_THREADS' is no assignment"),
        (["--calibrate", "never"], "calibrate: 'never' is not known here"),
        (["--budget", "soon"], "budget: 'soon' is no time"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_options_that_make_no_sense_leave_nothing_behind(
    command: Command, image: Path, arguments: list[str], words: str
) -> None:
    failed(command("enable", "llm.service", "--root", image, *arguments), ExitCode.USAGE, words)
    assert not sections.path_of("llm.service", Root(image)).exists()


def test_a_unit_that_the_image_lacks_can_not_be_enabled(command: Command, image: Path) -> None:
    failed(command("enable", "lm.service", "--root", image), ExitCode.USAGE, r"there is no unit lm\.service")
