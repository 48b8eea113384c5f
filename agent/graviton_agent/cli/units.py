"""What the commands about units share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graviton_agent.control.scene import Scene

Units = Annotated[list[str] | None, typer.Argument(metavar="[UNIT]...", help="Default: all managed units.")]


@contextmanager
def open_scene() -> Iterator["Scene"]:
    """This machine. Raises AgentError without a running systemd, and for who may not read all of it."""
    from graviton_agent.control.scene import Scene, require_root
    from graviton_agent.root import Root
    from graviton_agent.units.bus import Bus

    root = Root()
    require_root(root)
    with Bus.connect() as bus:
        yield Scene(bus, root)
