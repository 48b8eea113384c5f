"""Variables in files: those that EnvironmentFile= names, and the environment of a process in /proc.

The former have a syntax of systemd's own [systemd src/basic/env-file.c, parse_env_file_internal].
"""

import contextlib
import re
from collections.abc import Iterable, Mapping

# Until systemd 253 a backslash at its end continued a comment on the next line. It is read as by later ones:
# what may be a variable of the operator's then counts as one.
_COMMENT = re.compile(r"[#;][^\n\r]*")
_BLANK = " \t\n\r"
_NEWLINE = "\n\r"
_ESCAPABLE = '"\\`$'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_assignments(content: bytes) -> dict[str, str]:
    """The variables of a file, later assignments over earlier ones.

    What systemd drops is dropped: names that are none, and a file that is no UTF-8 text, whole.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {}
    if "\0" in text:
        return {}
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
            if _NAME.fullmatch(name):
                found[name] = value
    return found


def render_assignments(environment: Mapping[str, str]) -> bytes:
    """A file that gives exactly these variables; those that no such file can carry are left out."""
    lines = []
    for name, value in environment.items():
        escaped = "".join(f"\\{character}" if character in _ESCAPABLE else character for character in value)
        with contextlib.suppress(UnicodeEncodeError):
            if _NAME.fullmatch(name):
                lines.append(f'{name}="{escaped}"\n'.encode())
    return b"".join(lines)


def parse_environment_block(raw: bytes) -> dict[str, str]:
    """The variables of a process, as /proc/PID/environ has them: each ends with a zero byte."""
    entries = (entry.partition(b"=") for entry in raw.split(b"\0"))
    return {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, equals, value in entries
        if equals
    }


def find_in_environment_block(raw: bytes, names: Iterable[str]) -> dict[str, str]:
    """Some variables of a process, without making anything of the others, however many they are."""
    block = b"\0" + raw
    found = {}
    for name in names:
        start = f"\0{name}=".encode()
        # The last one counts, as above.
        if (at := block.rfind(start)) >= 0:
            value, _, _ = block[at + len(start) :].partition(b"\0")
            found[name] = value.decode("utf-8", "replace")
    return found


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
