"""Man pages from docs/man. What is stated elsewhere in the tree is put in there, and not written twice.

The sources are in the language of scdoc(5), which turns them into pages.
"""

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

from graviton_packages.commands import Command, Option, read_commands
from graviton_packages.layout import MANUALS, TREE
from graviton_packages.programs import run

SOURCES = TREE / "docs" / "man"


def write_manuals(stage: Path, moment: int) -> None:
    """Puts the pages into a staged tree.

    Raises BuildError of scdoc.

    Args:
        stage: the folder that will be "/" on a host.
        moment: the date on the pages, in seconds since 1970.
    """
    texts = {"COMMANDS": commands, "OPTIONS": options, "EXIT_CODES": _exit_codes}
    for source in sorted(SOURCES.glob("*.scd")):
        text = re.sub(r"(?m)^@([A-Z_]+)@$", lambda found: texts[found[1]](), source.read_text())
        environment = {"SOURCE_DATE_EPOCH": str(moment), "PATH": os.environ["PATH"]}
        page = run("scdoc", text=text.encode(), environment=environment)
        name = source.name.removesuffix(".scd")
        target = stage / f"{MANUALS}/man{name[-1]}/{name}.gz".lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(page, mtime=0))


def plain(text: str) -> str:
    """Text in which scdoc sees nothing but text."""
    return re.sub(r"([\\*_`<>|\[\]#~.+-])", r"\\\1", text)


def commands() -> str:
    """All commands with their options, as the command line has them."""
    return "\n".join(_command(command) for command in read_commands().all_below())


def _command(command: Command) -> str:
    words = " ".join(plain(argument.word) for argument in command.arguments)
    options = " \\[OPTIONS\\]" if command.options else ""
    lines = [
        f"## {command.name}".replace("-", "\\-"),
        "",
        f"*graviton-agent {plain(command.name)}*{options} {words}",
        "",
    ]
    lines += [_paragraphs(command.help), ""]
    lines += [line for option in command.options for line in _option(option)]
    return "\n".join(lines)


def _paragraphs(text: str) -> str:
    return "\n\n".join(plain(" ".join(paragraph.split())) for paragraph in text.split("\n\n"))


def _option(option: Option) -> Iterator[str]:
    value = f" _{plain(option.value)}_" if option.value else ""
    yield f"*{plain(', '.join(option.names))}*{value}"
    yield f"\t{plain(option.help)}"
    yield ""


def options() -> str:
    """The options of the configuration, from the comments of the file as installed."""
    return "\n".join(_described_options((TREE / "etc" / "graviton-agent.toml").read_text()))


def _described_options(text: str) -> Iterator[str]:
    yield "## At the top of the file"
    yield ""
    # The first paragraph is about the file, the last ones are examples.
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        comments = [line.removeprefix("#").removeprefix(" ") for line in lines if line.startswith("# ")]
        options = [line for line in lines if re.match(r"#[a-z_0-9]+ = ", line)]
        if section := next((line for line in lines if line.startswith("[")), None):
            yield from (f"## Section {section}", "", _flowing(comments, ""), "")
        elif options:
            name, _, default = options[0].removeprefix("#").partition(" = ")
            yield from (f"*{plain(name)}* = {plain(default)}", f"\t{_flowing(comments, chr(9))}", "")


def _flowing(comments: list[str], indent: str) -> str:
    """Lines of a comment as one paragraph, in which indented lines stay lines."""
    text = ""
    for line in comments:
        listed = line.startswith("  ")
        text += f"++\n{indent}" if text and listed else " " if text else ""
        text += plain(" ".join(line.split()))
    return text


def _exit_codes() -> str:
    rows = re.findall(
        r"(?m)^\| ([0-9, ]+) \| (.+?) \| (.+) \|$", (TREE / "docs" / "exit-codes.md").read_text()
    )
    return "\n".join(
        f"*{code}* {plain(name)}\n\t{plain(meaning.replace('`', ''))}\n" for code, name, meaning in rows
    )
