"""Names of systemd's units: which are valid, what a template and an instance are, and how text is escaped.

The rules are those of systemd [src/basic/unit-name.c, unit_name_is_valid and unit_name_escape]. Standard
library alone, and little of it: the generator and the check that runs before each start import this.
"""

from __future__ import annotations

from graviton_agent.installed import CHECK, GATE, QUIET, SERVICE, WITHDRAW

LONGEST = 200
"""Characters. systemd allows 255; the agent's own file names and gates are the unit's name and some more."""

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
_PLAIN = frozenset(_LETTERS + _DIGITS + ":_.")
_ALLOWED = _PLAIN | frozenset("-\\@")


def is_service_name(name: str) -> bool:
    """Whether it is the name of a service, of a template of services or of an instance of one.

    Such a name has neither "/" nor a character that a unit file or a shell takes for something else, except
    the backslash; so it can be part of a path.
    """
    return why_no_service_name(name) is None


def why_no_service_name(name: str) -> str | None:
    """What is wrong with it, as the end of a sentence; None if nothing is."""
    if not name.endswith(".service"):
        return "doesn't end in .service"
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if wrong := sorted(set(name) - _ALLOWED):
        return f"has the character {wrong[0]!r}, which is not allowed in the name of a unit"
    if name.startswith(("@", ".service")):
        return "has nothing before its first @ or its suffix"
    return None


def require_service_name(name: str) -> str:
    """The name itself. Raises UsageError if it isn't one."""
    if why := why_no_service_name(name):
        from graviton_agent.errors import UsageError  # the check doesn't come here, and can do without enum

        hint = f"write {name}.service" if is_service_name(f"{name}.service") else "see systemd-escape(1)"
        raise UsageError(f"{name!r} {why}", hint=hint)
    return name


def is_template(name: str) -> bool:
    """Whether it is a template, such as llm@.service."""
    return name.find("@") == len(name) - len("@.service")


def is_instance(name: str) -> bool:
    """Whether it is an instance of a template, such as llm@1.service."""
    return "@" in name and not is_template(name)


def template_of(name: str) -> str | None:
    """The template of an instance: llm@.service of llm@1.service; None for anything else."""
    return name[: name.index("@") + 1] + ".service" if is_instance(name) else None


def instance_of(name: str) -> str | None:
    """The instance's own part, escaped as it stands: 1 of llm@1.service; None for anything else."""
    return name[name.index("@") + 1 : -len(".service")] if is_instance(name) else None


def is_agents_own(name: str) -> bool:
    """Whether it is one of the agent's own services, which it can't manage."""
    return name == SERVICE or not {CHECK, GATE, QUIET, WITHDRAW}.isdisjoint({name, template_of(name)})


def escape(text: str) -> str:
    r"""Makes any text fit for the name of a unit, as systemd-escape does: "a b/c" becomes "a\x20b-c"."""
    escaped = "".join(
        chr(byte) if chr(byte) in _PLAIN else "-" if byte == 0x2F else f"\\x{byte:02x}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
    return "\\x2e" + escaped[1:] if escaped.startswith(".") else escaped


def environment_file_name(name: str) -> str:
    """The name of the unit's environment file."""
    return f"{name}.env"
