"""Completions for bash, zsh and fish: static files, so that a press of TAB starts no Python."""

from graviton_packages.commands import Command, Option, read_commands

BASH_PATHS = {"file": "-f", "folder": "-d"}
"""What compgen is asked for."""
ZSH_PATHS = {"file": "_files", "folder": "_files -/"}
UNITS = "systemctl list-unit-files --no-legend --no-pager --type=service 2>/dev/null | cut -d ' ' -f 1"


def bash() -> str:
    """The function that bash calls, with a case for each command."""
    program = read_commands()
    cases = "\n".join(_bash_case(command) for command in _all(program))
    return f"""# Completion of graviton-agent for bash; made from its command line.
_graviton_agent() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
    local command= words= paths= units= word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$command $word" in
{_bash_words(program)}
        esac
    done
    case "$command" in
{cases}
    esac
    if [[ $current == -* ]]; then
        units= paths=
    fi
    if [[ $units ]]; then
        words+=" $({UNITS})"
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    if [[ $paths ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(compgen "$paths" -- "$current")
    fi
}}
complete -F _graviton_agent graviton-agent
"""


def _all(command: Command) -> list[Command]:
    return [command, *(found for below in command.commands for found in _all(below))]


def _words(command: Command) -> list[str]:
    names = [name for option in command.options for name in option.names]
    return [*(below.name.rpartition(" ")[2] for below in command.commands), *names, "--help"]


def _bash_words(program: Command) -> str:
    return "\n".join(
        f'            "{command.name.rpartition(" ")[0]} {command.name.rpartition(" ")[2]}") '
        f'command="{command.name}" ;;'
        for command in _all(program)
        if command.name
    )


def _bash_case(command: Command) -> str:
    lines = [f'        "{command.name}")', f'            words="{" ".join(_words(command))}"']
    if command.takes_units:
        lines += ["            units=yes"]
    if command.takes:
        lines += [f"            paths={BASH_PATHS[command.takes]}"]
    if valued := [option for option in command.options if option.value]:
        lines += ['            case "$previous" in']
        lines += [f"                {'|'.join(option.names)}) {_bash_value(option)} ;;" for option in valued]
        lines += ["            esac"]
    return "\n".join([*lines, "            ;;"])


def _bash_value(option: Option) -> str:
    return f"words= units= paths={BASH_PATHS.get(option.kind, '')}"


def fish() -> str:
    """A line for each command and option."""
    program = read_commands()
    lines = [
        "# Completion of graviton-agent for fish; made from its command line.",
        "complete -c graviton-agent -f",
    ]
    for command in _all(program):
        below = " ".join(found.name.rpartition(" ")[2] for found in command.commands)
        seen = f"__fish_seen_subcommand_from {command.name.rpartition(' ')[2]}" if command.name else ""
        # "config check" is seen where both words are.
        if " " in command.name:
            seen = f"__fish_seen_subcommand_from {command.name.partition(' ')[0]}; and {seen}"
        none_yet = f"not __fish_seen_subcommand_from {below}"
        for found in command.commands:
            condition = f"{seen}; and {none_yet}" if seen else none_yet
            lines += [_fish(condition, f"-a {found.name.rpartition(' ')[2]}", found.first_sentence)]
        for option in command.options:
            lines += [_fish(seen or none_yet, _fish_option(option), option.help.rstrip("."))]
        if command.takes_units:
            lines += [_fish(seen, f'-a "({UNITS})"', "unit")]
        if command.takes:
            lines += [_fish(seen, "-F", command.takes)]
    return "\n".join([*lines, ""])


def _fish(condition: str, what: str, description: str) -> str:
    return f"complete -c graviton-agent -n {_quoted(condition)} {what} -d {_quoted(description)}"


def _fish_option(option: Option) -> str:
    names = " ".join(f"-l {name.removeprefix('--')}" for name in option.names)
    if not option.value:
        return names
    return f"{names} {'-r -F' if option.kind else '-x'}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def zsh() -> str:
    """A function for each command, which `_arguments` reads."""
    program = read_commands()
    functions = "\n\n".join(_zsh_function(command) for command in _all(program))
    return f"""#compdef graviton-agent
# Completion of graviton-agent for zsh; made from its command line.

_graviton-agent_units() {{
    local -a units
    units=(${{(f)"$({UNITS})"}})
    _describe unit units
}}

{functions}

_graviton-agent "$@"
"""


def _zsh_name(command: Command) -> str:
    return "_".join(("_graviton-agent", *command.name.split())) if command.name else "_graviton-agent"


def _zsh_function(command: Command) -> str:
    arguments = [_zsh_option(option) for option in command.options] + ["'--help[Print the help]'"]
    actions = {
        "unit": "_graviton-agent_units" if command.takes_units else "",
        command.takes: ZSH_PATHS.get(command.takes, ""),
    }
    offered = [f"{word}:{word}:{action}" for word, action in actions.items() if action]
    if offered:
        arguments += [_zsh_quoted("*: :_alternative " + " ".join(map(_zsh_quoted, offered)))]
    if not command.commands:
        body = " \\\n        ".join(("    _arguments -s", *arguments))
        return f"{_zsh_name(command)}() {{\n{body}\n}}"
    described = "\n".join(
        f"        {_zsh_quoted(found.name.rpartition(' ')[2] + ':' + found.first_sentence)}"
        for found in command.commands
    )
    cases = "\n".join(
        f"        {found.name.rpartition(' ')[2]}) {_zsh_name(found)} ;;" for found in command.commands
    )
    return f"""{_zsh_name(command)}() {{
    local state line
    local -a commands
    commands=(
{described}
    )
    _arguments -C {" ".join(arguments)} '1: :->command' '*:: :->rest'
    case $state in
    command) _describe command commands ;;
    rest)
        case $line[1] in
{cases}
        esac
        ;;
    esac
}}"""


def _zsh_option(option: Option) -> str:
    text = option.help.rstrip(".").replace("[", "(").replace("]", ")").replace(":", "\\:")
    value = ""
    if option.value:
        value = f":{option.value.replace(':', '')}:{ZSH_PATHS.get(option.kind, '')}"
    return " ".join(_zsh_quoted(f"{name}[{text}]{value}") for name in option.names)


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
