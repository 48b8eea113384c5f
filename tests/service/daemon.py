"""The daemon's upkeep on a machine that tests have made."""

from collections.abc import Callable, Sequence
from pathlib import Path

from graviton_agent.configuration.compiled import write_compiled
from graviton_agent.configuration.load import compile_configuration
from graviton_agent.installed import STATE
from graviton_agent.patience import Patience
from graviton_agent.service.configured import RECORD, Configured
from graviton_agent.service.upkeep import Upkeep
from graviton_agent.units.bus import Bus
from tests.control.machine import Managed


def make_upkeep(
    machine: Managed,
    say: Callable[[str], object] = lambda _: None,
    *,
    is_up: Callable[[Bus], bool] = lambda _: True,
    patience: Patience | None = None,
) -> Upkeep:
    """The upkeep of that machine, which compiles its configuration in this process."""
    root = machine.root.path
    record = root / STATE[1:] / RECORD

    def compile_it(_: Sequence[str]) -> str | None:
        write_compiled(compile_configuration(str(root)), record)
        return None

    configured = Configured(record, root=str(root), run=compile_it)
    return Upkeep(
        machine.root,
        say=say,
        connect=lambda: machine.bus,
        configured=configured,
        patience=patience,
        is_up=is_up,
    )


def files_below(folder: Path) -> set[str]:
    """The names of the files in a folder that may be missing."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
