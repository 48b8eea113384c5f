"""A command of ExecStart=, as systemd gives it and as it is run."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CommandLine:
    """One ExecStart= line: specifiers are expanded and quotes removed, variables are still as written."""

    program: str
    """A path, or a bare name that is looked up when the unit starts."""
    arguments: tuple[str, ...]
    """argv, whose first word is usually the program again."""
    flags: frozenset[str] = frozenset()
    """The prefixes by systemd's names: "privileged" is +, "no-setuid" is !, "ambient" is !!, "no-env-expand"
    is a colon, "ignore-failure" is - [systemd src/core/dbus-execute.c]."""

    def expand(self, environment: Mapping[str, str]) -> tuple[str, ...]:
        """The words that the program is started with, once variables are replaced.

        `${NAME}` is replaced wherever it stands; `$NAME` only where it is a word of its own, and then becomes
        as many words as its value has; `$$` is a dollar sign; a variable that isn't set is empty
        [systemd.service(5), "Command lines"].
        """
        if "no-env-expand" in self.flags:
            return self.arguments
        words: list[str] = []
        for argument in self.arguments:
            alone = re.fullmatch(r"\$([A-Za-z_][A-Za-z0-9_]*)", argument)
            if alone:
                words += _split(environment.get(alone[1], ""))
            else:
                words.append(
                    re.sub(
                        r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\})",
                        lambda found: environment.get(found[1], "") if found[1] else "$",
                        argument,
                    )
                )
        return tuple(words)


def _split(value: str) -> list[str]:
    """The words of a variable's value; quotes hold a word together."""
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()
