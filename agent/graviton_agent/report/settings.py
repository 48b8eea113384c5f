"""The catalogue of settings as a table of definitions."""

from collections.abc import Sequence

from graviton_agent.report.columns import definitions, paragraph
from graviton_agent.settings.setting import Applies, Setting


def render(rows: Sequence[tuple[Setting, Applies | None, tuple[str, ...]]], headline: str) -> str:
    """One block for each setting.

    Args:
        rows: each setting, whether it applies (None where no torch was there to ask), its candidates.
        headline: what machine and torch this is about.
    """
    return "\n\n".join([headline, *(_block(*row) for row in rows)])


def _block(setting: Setting, applies: Applies | None, candidates: tuple[str, ...]) -> str:
    facts = [("here", "unknown: no torch to ask" if applies is None else _here(applies, candidates))]
    facts += [("proof", setting.proof.value), ("cost", setting.cost), ("source", setting.source)]
    if setting.aliases:
        facts.insert(1, ("aliases", ", ".join(setting.aliases)))
    title = f"{setting.name}   {setting.variable}"
    return "\n".join([title, paragraph(setting.summary, indent="  "), definitions(facts)])


def _here(applies: Applies, candidates: tuple[str, ...]) -> str:
    if not applies.possible:
        return f"no effect: {applies.why}"
    values = ", ".join(candidates) if candidates else "no other value to try"
    return f"may have an effect: {applies.why}; candidates: {values}"
