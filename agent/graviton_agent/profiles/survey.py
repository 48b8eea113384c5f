"""Which units are managed: those with a section, and of a template every instance that has left a trace."""

from collections.abc import Iterable, Mapping

from graviton_agent.configuration.compiled import Configuration
from graviton_agent.profiles.application import Application, template_file
from graviton_agent.units.environment_file import EnvironmentFile
from graviton_agent.units.names import is_instance, is_service_name, is_template, template_of
from graviton_agent.units.unit import Unit


def patterns(configuration: Configuration) -> tuple[str, ...]:
    """What to ask PID 1 for: the instances of managed templates, as patterns of names.

    The characters that mean something in a pattern can't be in a unit's name, but for the backslash.
    """
    templates = (name for name in configuration.units if is_template(name))
    return tuple(name.replace("\\", "\\\\").replace("@.service", "@*.service") for name in templates)


def managed_units(configuration: Configuration, known: Iterable[str]) -> tuple[str, ...]:
    """The names of all managed units but templates, in alphabetical order.

    Args:
        configuration: which units and templates have a section.
        known: instances that are loaded, enabled, have a profile, or were named; others are passed over.
    """
    named = {name for name in configuration.units if not is_template(name)}
    instances = {name for name in known if is_service_name(name) and is_instance(name)}
    names = named | instances
    return tuple(sorted(name for name in names if configuration.unit(name) is not None))


def template_files(
    configuration: Configuration, found: Mapping[str, tuple[Unit, Application]]
) -> dict[str, EnvironmentFile | None]:
    """What the environment file of each managed template must be, from what its instances get.

    Args:
        configuration: which templates have a section.
        found: every managed unit that is known, with what it gets.
    """
    sections = {*configuration.units, *configuration.unmanaged}
    return {
        template: template_file(
            template,
            [
                instance
                for name, instance in found.items()
                if template_of(name) == template and name not in sections
            ],
        )
        for template in configuration.units
        if is_template(template)
    }
