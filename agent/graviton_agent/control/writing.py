"""Puts environment files in place, and takes them back: what `apply`, `revert` and a calibration end with.

All of it happens under the lock that the daemon takes too, and by the same core; the daemon then sees the
changed profile, looks for itself, and finds everything in place.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from graviton_agent.control.scene import Outlook, Scene
from graviton_agent.errors import AgentError
from graviton_agent.profiles.application import State
from graviton_agent.profiles.profile import Profile
from graviton_agent.units.environment_file import EnvironmentFile
from graviton_agent.units.names import is_template, template_of
from graviton_agent.units.placing import agent_is_up, place

START = "systemctl start graviton-agent"


def apply(scene: Scene, named: Collection[str]) -> tuple[Outlook, ...]:
    """Makes the environment files of units what they must be, and returns what changed by that.

    What is named, a unit or a template for all its instances, is applied even if it was reverted before;
    without names all others are. Raises AgentError, also where the agent is not up: nothing can be put there.
    """
    if not scene.agent_is_up:
        raise AgentError("the agent isn't running, and nothing is put in place without it", hint=START)
    with scene.store.locked():
        for name in named:
            scene.reverts.take_up(name)
        return _put(scene, named)


def revert(scene: Scene, named: Collection[str]) -> tuple[Outlook, ...]:
    """Takes back the environments of units, and sees to it that they stay away. Raises AgentError.

    A template stands for all its instances, those to come included, and no name for all that is managed now.
    They stay away whatever changes: only `apply` or `calibrate`, with the name, takes them up again.
    """
    now = datetime.now(UTC)
    with scene.store.locked():
        # Templates first, for they end what was said of their instances.
        for name in sorted(named or scene.configuration.units, key=is_template, reverse=True):
            if named or scene.configuration.unit(name) is not None:
                scene.reverts.revert(name, now)
        return _put(scene, named)


def keep(scene: Scene, profile: Profile, *, reverted: datetime | None) -> Outlook | None:
    """Keeps a new profile and puts in place what follows from it. Raises AgentError.

    Args:
        scene: of now.
        profile: what was found.
        reverted: since when the unit was, as the calibration began. Then it is taken up again, but not if it
            was reverted meanwhile; that a clock was set meanwhile makes no difference.

    Returns the unit as it was before; None if it is managed no more.
    """
    with scene.store.locked():
        scene.store.write(profile)
        if scene.reverts.read().of(profile.unit) == reverted:
            scene.reverts.take_up(profile.unit)
        return next(iter(_put(scene, [profile.unit])), None)


def settle(scene: Scene, unit: str) -> Outlook | None:
    """Puts in place what follows from the new section of a unit or template, which may withdraw a consent.

    What was reverted stays so. Returns the unit as it was before; None for a template. Raises AgentError.
    """
    with scene.store.locked():
        return next((outlook for outlook in _put(scene, [unit]) if outlook.name == unit), None)


def withdraw(scene: Scene, unit: str) -> None:
    """Removes the files of a unit, or of a template and its instances, managed no more. Raises AgentError."""
    with scene.store.locked():
        survey = scene.survey()
        outlooks = survey.outlooks.items()
        gone = [name for name, outlook in outlooks if outlook.state is State.UNMANAGED]
        files = {
            **dict.fromkeys(name for name in gone if unit in {name, template_of(name)}),
            **{name: file for name, file in survey.templates.items() if name in {unit, template_of(unit)}},
        }
        _place(scene, files)


def _put(scene: Scene, named: Collection[str]) -> tuple[Outlook, ...]:
    """Writes and removes files of units, or of all without names; the lock is held."""
    survey = scene.survey(named)
    # An instance may live on its template's file, which goes as soon as one of them differs.
    templates = {unit if is_template(unit) else template_of(unit) for unit in named} - {None}
    outlooks = survey.outlooks.items()
    for name, outlook in outlooks:
        profile = outlook.assessment.profile
        is_meant = not named or name in named or template_of(name) in templates
        if is_meant and outlook.assessment.is_new and profile is not None:
            scene.store.write(profile)
    files = {name: outlook.application.file for name, outlook in outlooks}
    _place(
        scene,
        {
            name: file
            for name, file in (*files.items(), *survey.templates.items())
            if not named or name in named or name in templates or template_of(name) in templates
        },
    )
    return tuple(
        outlook
        for name, outlook in survey.outlooks.items()
        if not named or name in named or template_of(name) in named
    )


def _place(scene: Scene, files: Mapping[str, EnvironmentFile | None]) -> None:
    """Makes files what they must be, if the agent is up. Raises StateError for the first that fails."""
    place(scene.folder, files, is_up=lambda: agent_is_up(scene.bus)).raise_first()
