"""Variables in files: those that EnvironmentFile= names, and the environment of a process in /proc.

The former have a syntax of systemd's own [systemd src/basic/env-file.c, parse_env_file_internal].
"""

import re
from collections.abc import Mapping

_COMMENT = re.compile(r"[#;](?:\\.|[^\n\r\\])*", re.DOTALL)
_BLANK = " \t\n\r"
_NEWLINE = "\n\r"
_ESCAPABLE = '"\\`$'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_assignments(content: bytes) -> dict[str, str]:
    """The variables of a file, later assignments over earlier ones.

    What systemd drops is dropped: names that are none, values that are not UTF-8 or have control characters.
    """
    text = content.decode("utf-8", "surrogateescape")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        if text[at] in _BLANK:
            at += 1
        elif comment := _COMMENT.match(text, at):
            at = comment.end()
        else:
            name, at = _name(text, at)
            if name is None:
                continue
            value, at = _value(text, at)
            if _NAME.fullmatch(name) and _is_clean(value):
                found[name] = value
    return found


def render_assignments(environment: Mapping[str, str]) -> bytes:
    """A file that gives exactly these variables; those that no such file can carry are left out."""
    lines = []
    for name, value in environment.items():
        if _NAME.fullmatch(name) and _is_clean(value):
            escaped = "".join(
                f"\\{character}" if character in _ESCAPABLE else character for character in value
            )
            lines.append(f'{name}="{escaped}"\n')
    return "".join(lines).encode()


def parse_environment_block(raw: bytes) -> dict[str, str]:
    """The variables of a process, as /proc/PID/environ has them: each ends with a zero byte."""
    entries = (entry.partition(b"=") for entry in raw.split(b"\0"))
    return {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, equals, value in entries
        if equals
    }


def _name(text: str, at: int) -> tuple[str | None, int]:
    """What stands before "=", and where its value begins; None where the line has no "="."""
    end = at
    while end < len(text) and text[end] not in _NEWLINE:
        if text[end] == "=":
            return text[at:end].rstrip(_BLANK), end + 1
        end += 1
    return None, end


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins there, and where the next line begins."""
    value = ""
    kept = 0
    """How many characters stay when blanks at the end are cut: what was quoted or escaped does."""
    bare = False
    """Whether an unquoted part has begun, in which quotes mean themselves."""
    while at < len(text):
        character = text[at]
        if character in _NEWLINE:
            break
        at += 1
        if character == "\\":
            # At the end of a line it continues the value on the next.
            if at < len(text) and text[at] not in _NEWLINE:
                value += text[at]
            at += 1
            kept, bare = len(value), True
        elif not bare and character in "'\"":
            quoted, at = _single(text, at) if character == "'" else _double(text, at)
            value += quoted
            kept = len(value)
        elif bare or character not in _BLANK:
            value += character
            bare = True
            kept = kept if character in _BLANK else len(value)
    return value[:kept], at


def _single(text: str, at: int) -> tuple[str, int]:
    end = text.find("'", at)
    return (text[at:], len(text)) if end < 0 else (text[at:end], end + 1)


def _double(text: str, at: int) -> tuple[str, int]:
    value = ""
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
            if text[at] in _ESCAPABLE:
                value += text[at]
            elif text[at] != "\n":
                value += "\\" + text[at]
        else:
            value += text[at]
        at += 1
    return value, at + 1


def _is_clean(value: str) -> bool:
    """Whether systemd accepts it in an environment [src/basic/env-util.c, env_value_is_valid]."""
    return not any(
        (ord(character) < 32 and character not in "\t\n")
        or 0x7F <= ord(character) < 0xA0
        or 0xDC80 <= ord(character) <= 0xDCFF
        for character in value
    )
