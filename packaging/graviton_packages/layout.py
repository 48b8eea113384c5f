"""Where each file of the source tree goes on a host: the one place that says so.

The packages are built from it, and the tests that install the agent in a container read it too. Where the
agent looks for its files while it runs is `graviton_agent.installed`.
"""

from pathlib import Path
from typing import NamedTuple

from graviton_agent.installed import CONFIGURATION_BASES, FOLDER

TREE = Path(__file__).resolve().parents[2]
"""The source tree."""

LIBRARY = f"/usr/lib/{FOLDER}"
"""The agent's own folder. It holds `agent` and `systemd` side by side, as the source tree does."""
LIBRARIES = f"{LIBRARY}/libraries"
"""What the agent needs of other projects; the extension of each Python is told by its name."""
PROGRAM = f"/usr/bin/{FOLDER}"
UNITS = "/usr/lib/systemd/system"
GENERATOR = f"/usr/lib/systemd/system-generators/{FOLDER}-generator"
CONFIGURATION = f"{CONFIGURATION_BASES[0]}/{FOLDER}"
DOCUMENTS = f"/usr/share/doc/{FOLDER}"
MANUALS = "/usr/share/man"
BASH_COMPLETION = f"/usr/share/bash-completion/completions/{FOLDER}"
FISH_COMPLETION = f"/usr/share/fish/vendor_completions.d/{FOLDER}.fish"
ZSH_COMPLETION = {
    "deb": f"/usr/share/zsh/vendor-completions/_{FOLDER}",
    "rpm": f"/usr/share/zsh/site-functions/_{FOLDER}",
}
LICENCES = {
    "deb": f"{DOCUMENTS}/copyright",
    "rpm": f"/usr/share/licenses/{FOLDER}/copyright",
}
LICENCE_TEXT = f"/usr/share/licenses/{FOLDER}/LICENSE"
"""Of the agent itself; every Debian has it in /usr/share/common-licenses."""
LINTIAN = f"/usr/share/lintian/overrides/{FOLDER}"

OWN_FOLDERS = (LIBRARY, CONFIGURATION, DOCUMENTS, f"/usr/share/licenses/{FOLDER}")
"""Folders that are the package's own, with all that is below them."""


def only_in() -> dict[str, str]:
    """Files that one kind of package alone has, and that kind: distributions differ in where these stand."""
    differing = (ZSH_COMPLETION, LICENCES, {"deb": LINTIAN}, {"rpm": LICENCE_TEXT})
    return {path: kind for paths in differing for kind, path in paths.items()}


class Piece(NamedTuple):
    """A file or a folder of the source tree, and where it is installed."""

    source: Path
    target: str
    mode: int = 0o644
    """Of a file; a folder's files keep theirs."""


LINKS = {GENERATOR: f"../../{FOLDER}/systemd/{FOLDER}-generator"}
"""Links by their path, and what they point to: the generator finds its modules beside the latter."""


def pieces(tree: Path = TREE) -> list[Piece]:
    """All that is installed as it stands in the source tree."""
    return [
        Piece(tree / "agent" / "graviton_agent", f"{LIBRARY}/agent/graviton_agent"),
        *systemd_pieces(tree),
        Piece(tree / "packaging" / "run.py", f"{LIBRARY}/run.py"),
        Piece(tree / "packaging" / "launcher", PROGRAM, 0o755),
        Piece(tree / "packaging" / "lintian-overrides", LINTIAN),
        Piece(tree / "LICENSE", LICENCE_TEXT),
        Piece(tree / "etc" / "graviton-agent.toml", f"{CONFIGURATION}/graviton-agent.toml"),
    ]


def systemd_pieces(tree: Path = TREE) -> list[Piece]:
    """The units, and the programs that systemd runs without going through the launcher."""
    return [
        Piece(file, f"{UNITS}/{file.name}")
        if file.suffix
        else Piece(file, f"{LIBRARY}/systemd/{file.name}", 0o755)
        for file in sorted((tree / "systemd").iterdir())
        if file.is_file()
    ]
