"""The environment file of a unit: what systemd reads at its start. Rendered and parsed strictly.

    # graviton-agent environment 1
    # unit llm.service
    # made for boot = 5d0a7a53-...
    # made for file /opt/llm/venv/lib/python3.11/site-packages/torch/version.py = 1234:296:1763856000000000000
    # at least 1.28x as fast, measured on 2026-11-23
    DNNL_DEFAULT_FPMATH_MODE=BF16

The head is what the check compares with the present (identity.py). Only variables of the catalogue are
written, and only values that systemd, a shell and torch all read as they stand: no blanks, quotes or
backslashes, and never an empty one, on which torch fails.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from graviton_agent.errors import StateError
from graviton_agent.regular_file import read_regular
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.state import PRIVATE_FILE, remove_file, write_atomically
from graviton_agent.units.check import LARGEST_FILE
from graviton_agent.units.identity import HOST_FACTS, parse_head, render_head
from graviton_agent.units.names import environment_file_name, is_service_name, template_of

NAMES = frozenset(setting.variable for setting in CATALOGUE)
"""The variables that may be written: a profile may come from elsewhere, and could ask for LD_PRELOAD."""

_VALUE = re.compile(r"[A-Za-z0-9_.,:+-]{1,128}")
_COMMENT = re.compile(r"# at least ([0-9]{1,4}\.[0-9]{2})x as fast, measured on ([0-9]{4}-[0-9]{2}-[0-9]{2})")


@dataclass(frozen=True)
class Variable:
    """One variable, and why it is there."""

    name: str
    value: str
    gain: float
    """What the calibration promises of all variables of the file together: the lower end of the ratio of
    time, default over chosen; it is written with two decimals."""
    measured: date

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise StateError(f"{self.name!r} is no variable that a setting writes")
        if not _VALUE.fullmatch(self.value):
            raise StateError(
                f"{self.value!r} is no value for {self.name}", hint=f"values match {_VALUE.pattern}"
            )
        if not math.isfinite(self.gain) or not 0 < self.gain < 10_000:
            raise StateError(f"{self.gain} is no gain for {self.name}")


@dataclass(frozen=True)
class EnvironmentFile:
    """All that one file says."""

    unit: str
    """The unit, or the template, whose start it is for."""
    made_for: Mapping[str, str]
    """The facts that the values depend on, as identity.py sees them."""
    variables: tuple[Variable, ...]

    def __post_init__(self) -> None:
        if not is_service_name(self.unit):
            raise StateError(f"{self.unit!r} is no name of a service")
        if missing := [name for name in HOST_FACTS if name not in self.made_for]:
            raise StateError(f"the environment of {self.unit} doesn't say for which {missing[0]} it was made")
        if not self.variables:
            raise StateError(f"the environment of {self.unit} is empty", hint="remove the file instead")
        if len({variable.name for variable in self.variables}) != len(self.variables):
            raise StateError(f"a variable stands twice in the environment of {self.unit}")

    @property
    def environment(self) -> dict[str, str]:
        """The variables and their values."""
        return {variable.name: variable.value for variable in self.variables}


def render(file: EnvironmentFile) -> str:
    """The text of the file. Raises StateError for a fact that no line can carry."""
    try:
        lines = render_head(file.unit, dict(file.made_for))
    except ValueError as error:
        raise StateError(f"the environment of {file.unit} can't depend on {error.args[0]!r}") from None
    for variable in file.variables:
        lines.append(f"# at least {variable.gain:.2f}x as fast, measured on {variable.measured}")
        lines.append(f"{variable.name}={variable.value}")
    return "\n".join(lines) + "\n"


def parse(text: str, unit: str) -> EnvironmentFile:
    """Reads what `render` wrote for the unit. Raises StateError for anything else, however slight."""
    lines = text.split("\n")
    made_for = parse_head(lines, unit) or {}
    # The head is the format, the unit and the facts; the last line ends with a newline too.
    body = lines[2 + len(made_for) : -1]
    file = EnvironmentFile(
        unit=unit,
        made_for=made_for,
        variables=tuple(_parse_variable(*pair, unit) for pair in zip(body[::2], body[1::2], strict=False)),
    )
    if render(file) != text:
        raise StateError(f"the environment of {unit} is not as the agent writes it")
    return file


def _parse_variable(comment: str, assignment: str, unit: str) -> Variable:
    found = _COMMENT.fullmatch(comment)
    name, _, value = assignment.partition("=")
    if not found:
        raise StateError(f"the environment of {unit} has a line that is not the agent's: {comment[:80]!r}")
    try:
        measured = date.fromisoformat(found[2])
    except ValueError:
        raise StateError(f"the environment of {unit} has no date in {comment!r}") from None
    return Variable(name=name, value=value, gain=float(found[1]), measured=measured)


def read(folder: Path, unit: str) -> EnvironmentFile | None:
    """The unit's file in a folder; None if there is none. Raises StateError if it isn't the agent's."""
    path = folder / environment_file_name(unit)
    if not path.is_symlink() and not path.exists():
        return None
    content = read_regular(str(path), LARGEST_FILE)
    if content is None:
        raise StateError(f"{path} is no file that can be read")
    try:
        return parse(content.decode(), unit)
    except UnicodeDecodeError:
        raise StateError(f"{path} is not text") from None


def write(folder: Path, file: EnvironmentFile) -> bool:
    """Writes the unit's file in one step. Returns whether that changed anything. Raises StateError."""
    path = folder / environment_file_name(file.unit)
    content = render(file).encode()
    if len(content) > LARGEST_FILE:
        raise StateError(f"the environment of {file.unit} depends on too many files")
    if not path.is_symlink() and read_regular(str(path), LARGEST_FILE) == content:
        return False
    # The folder is there as long as the agent is. PID 1 alone reads the file, as root.
    write_atomically(path, content, mode=PRIVATE_FILE, make_folder=False)
    return True


def remove(folder: Path, unit: str) -> bool:
    """Removes the unit's file. Returns whether there was one. Raises StateError."""
    return remove_file(folder / environment_file_name(unit))


def changed(folder: Path, unit: str) -> datetime | None:
    """When the unit's files changed last: of a file that is gone its folder knows the latest it can be."""
    files = [folder / environment_file_name(name) for name in (unit, template_of(unit)) if name]
    for group in (files, [folder]):
        times = [path.stat().st_mtime for path in group if path.exists()]
        if times:
            return datetime.fromtimestamp(max(times), UTC)
    return None
