"""The drop-in that a managed unit gets. Standard library alone: the generator imports this."""

from __future__ import annotations

from graviton_agent.installed import CHECK, ENVIRONMENT, GATE, SERVICE, WITHDRAW
from graviton_agent.units.names import environment_file_name, is_template, template_of

NAME = "50-graviton-agent.conf"
"""Above what vendors ship (10-40), below what administrators add (60-90) [systemd man/standard-conf.xml]."""


def folder_of(unit: str) -> str:
    """The name of the folder that the drop-in goes to."""
    return f"{unit}.d"


def render(unit: str, *, ordered: bool, gate: bool, check: bool, alone: bool = False) -> str:
    """The text of a unit's drop-in.

    An instance's drop-in hides its template's, which has the same name, so it says all that the other says.

    Args:
        unit: its name, or its template's.
        ordered: whether it may wait for the agent; if not, it waits for the check alone, which itself
            waits for nothing.
        gate: whether it waits for its calibration.
        check: whether a stale environment file is withdrawn before each start.
        alone: whether an instance is on its own, for it has a section of its own: what was found for its
            template's other instances may be what that section forbids.
    """
    lines = ["# Made by graviton-agent's generator: `graviton-agent config show` says from what."]
    wanted = [
        *([SERVICE] if ordered else []),
        *([GATE] if ordered and gate else []),
        *([CHECK] if check else []),
    ]
    if wanted:
        # A check that fails starts the other, before which the unit must not start either.
        waits_for = [*wanted, *([WITHDRAW] if check else [])]
        lines += ["[Unit]", f"Wants={_own(wanted)}", f"After={_own(waits_for)}", ""]
    lines.append("[Service]")
    lines += [f"EnvironmentFile=-{ENVIRONMENT}/{name}" for name in _environment_files(unit, alone=alone)]
    return "\n".join(lines) + "\n"


def _own(names: list[str]) -> str:
    """The unit's own instances of templates: specifiers stand for its name, unescaped, also in a template."""
    return " ".join(name.replace("@", "@%n") for name in names)


def _environment_files(unit: str, *, alone: bool) -> list[str]:
    r"""The unit's environment files in the order in which they are read; the last one wins.

    systemd expands the path as a pattern, in which "\x2d" means "x2d"; a doubled backslash means itself. In a
    template's drop-in "%n" can't be doubled: an instance with a backslash in its name, and no section of its
    own in the configuration, gets its template's variables alone.
    """
    template = unit if is_template(unit) else None if alone else template_of(unit)
    names = [template] if template else []
    names.append("%n" if is_template(unit) else unit)
    return [environment_file_name(name).replace("\\", "\\\\") for name in names]
