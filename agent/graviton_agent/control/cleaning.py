"""Removes what is only this host's, before an image is made of it.

What the operator has said stays: the configuration, what is reverted, and the fleet's profiles. What this
host has measured is stamped with its own files and CPUs, and goes; so do its records. The fingerprint would
tell a clone of another kind anyway: this is for images that are to be the same whoever made them.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from graviton_agent.control.fleet_profiles import export, keep_imported
from graviton_agent.errors import AgentError, StateError
from graviton_agent.installed import CALIBRATED, ENVIRONMENT, GATES, LOCKS, METRICS, STATE
from graviton_agent.profiles import store
from graviton_agent.profiles.fleet_profile import FleetProfile
from graviton_agent.profiles.store import ProfileStore
from graviton_agent.root import Root
from graviton_agent.service.configured import RECORD

OF_STATE = (store.FOLDER, "records", RECORD, store.LOCK)
OF_RUN = (ENVIRONMENT, CALIBRATED, GATES, LOCKS, METRICS)


def require_stopped(root: Root) -> None:
    """Raises AgentError while the agent runs, for it would make again what is removed."""
    # systemd makes its folders as it starts, and takes them away as it stops.
    if root.is_this_machine and Path(ENVIRONMENT).is_dir():
        raise AgentError(
            "the agent is running, and would make again what is removed",
            hint="systemctl stop graviton-agent.service",
        )


def cleanable(root: Root) -> tuple[Path, ...]:
    """The files and folders that are only this host's."""
    state = root.path / STATE.lstrip("/")
    paths = [*(state / name for name in OF_STATE), *(root.path / path.lstrip("/") for path in OF_RUN)]
    return tuple(path for path in paths if path.exists() or path.is_symlink())


def travelling(root: Root) -> tuple[FleetProfile, ...]:
    """What this host has measured that can hold on others; empty if there is nothing."""
    try:
        return export(ProfileStore.below(root), [])
    except StateError:
        return ()


def clean(root: Root, *, keep_results: bool) -> tuple[Sequence[Path], Sequence[Path]]:
    """Removes it.

    Args:
        root: of this machine, or of an image.
        keep_results: whether what was measured is kept first, as the fleet's profiles.

    Returns what was kept, and what was removed. Raises AgentError.
    """
    require_stopped(root)
    results = travelling(root) if keep_results else ()
    kept = keep_imported(root, results) if results else ()
    gone = cleanable(root)
    for path in gone:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            raise StateError(f"can't remove {path}: {error.strerror}") from error
    return kept, gone
