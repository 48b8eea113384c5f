"""The completions, as the shells themselves complete with them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from graviton_packages import completions
from graviton_packages.commands import read_commands

SECONDS = 60

# What a press of TAB calls, and what it has come to. The first argument is the file, the second the line.
BASH = """
source "$1"
read -r -a COMP_WORDS <<< "$2"
test "${2% }" = "$2" || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_graviton_agent
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """
source $argv[1]
complete --do-complete $argv[2]
"""
# zsh completes at a terminal alone: so it gets one, where what is offered is written to a file.
ZSH = """
zmodload zsh/zpty
zpty shell "TERM=dumb zsh -f -i"
wait_for() {
    until test -e $1; do zpty -r -t shell text; sleep 0.02; done
}
zpty -w shell "fpath=($PWD \\$fpath); offered=$1.offered; source zshrc"
wait_for editing
zpty -w -n shell "$2"$'\\t\\x15'
zpty -w shell 'touch over'
wait_for over
cat $1.offered 2>/dev/null || true
"""
ZSHRC = """
autoload -Uz compinit
compinit -u -D
compadd() {
    local -a found
    builtin compadd -O found "$@"
    print -rl -- $found >> $offered
    builtin compadd "$@"
}
zle-line-init() {
    touch editing
}
zle -N zle-line-init
"""


def _complete(shell: tuple[str, ...], script: str, text: str, file: Path, line: str) -> set[str]:
    if not shutil.which(shell[0]):
        pytest.skip(f"no {shell[0]} here: make package-tools")
    file.write_text(text)
    done = subprocess.run(
        (*shell, "-c", script, *(() if shell[0] == "fish" else (shell[0],)), file.name, line),
        cwd=file.parent, capture_output=True, text=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    # fish describes what it offers, and shells differ in how much of a path they print.
    offered = (line.partition("\t")[0].rstrip("/").rpartition("/")[2] for line in done.stdout.splitlines())
    return {word for word in offered if word}


def _bash(folder: Path, line: str) -> set[str]:
    return _complete(("bash", "--norc"), BASH, completions.bash(), folder / "graviton-agent", line)


def _fish(folder: Path, line: str) -> set[str]:
    return _complete(("fish", "--no-config"), FISH, completions.fish(), folder / "graviton-agent.fish", line)


def _zsh(folder: Path, line: str) -> set[str]:
    (folder / "zshrc").write_text(ZSHRC)
    return _complete(("zsh", "-f"), ZSH, completions.zsh(), folder / "_graviton-agent", line)


@pytest.fixture(params=[_bash, _fish, _zsh], ids=["bash", "fish", "zsh"])
def press_tab(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], set[str]]:
    """What a shell offers after a line, where a folder `some` has a file and a folder."""
    (tmp_path / "some" / "profiles").mkdir(parents=True)
    (tmp_path / "some" / "profile.json").touch()
    return lambda line: request.param(tmp_path, line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("graviton-agent cali", {"calibrate"}),
        ("graviton-agent config ch", {"check"}),
        ("graviton-agent profile ch", {"check"}),
        ("graviton-agent verify --js", {"--json"}),
        ("graviton-agent profile package --fo", {"--format"}),
    ],
)
def test_commands_and_options_are_completed(
    press_tab: Callable[[str], set[str]], line: str, expected: set[str]
) -> None:
    assert press_tab(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "graviton-agent profile import some/",
        "graviton-agent profile show some/",
        "graviton-agent fleet report --html some/",
    ],
)
def test_files_are_completed_where_they_are_wanted(press_tab: Callable[[str], set[str]], line: str) -> None:
    assert {"profile.json", "profiles"} <= press_tab(line)


def test_no_file_is_offered_where_none_is_wanted(press_tab: Callable[[str], set[str]]) -> None:
    assert press_tab("graviton-agent detect so") == set()
    assert press_tab("graviton-agent calibrate --batch so") == set()


def test_all_commands_are_offered(press_tab: Callable[[str], set[str]]) -> None:
    words = {command.name.partition(" ")[0] for command in read_commands().all_below()}
    assert words <= press_tab("graviton-agent ")
