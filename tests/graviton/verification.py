"""Keeps the last result of each scenario in docs/verification.md, between marks."""

import re
from datetime import UTC, datetime
from pathlib import Path

from graviton_agent import __version__
from tests.graviton.checks import Check, Checks
from tests.graviton.kept import run

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = REPOSITORY / "docs/verification.md"
LONGEST_CELL = 220


def keep(checks: Checks, title: str, versions: str, document: Path = DOCUMENT) -> None:
    """Puts a scenario's result in the place of its former one. Raises ValueError if there is none."""
    begin, end = f"<!-- test-graviton {checks.scenario} -->", f"<!-- end of {checks.scenario} -->"
    text = document.read_text()
    if begin not in text or end not in text:
        raise ValueError(f"{document} has no {begin} ... {end}")
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    document.write_text(f"{before}{begin}\n{render(checks, title, versions)}{end}{after}")


def render(checks: Checks, title: str, versions: str) -> str:
    """The result as Markdown."""
    lines = [
        f"### {title}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {versions}: {checks.passed} passed, {checks.failed} failed",
        "",
        "| claim | seen | |",
        "|---|---|---|",
        *(_row(check) for check in checks.done),
        "",
    ]
    return "\n".join(lines)


def agent_version() -> str:
    """The agent, and which state of its tree."""
    git = ("git", "-C", str(REPOSITORY))
    commit = run([*git, "rev-parse", "--short", "HEAD"]).strip()
    # Results are written to docs/, also while others are yet to come.
    changed = run([*git, "status", "--porcelain", "--", ".", ":!docs"])
    return f"agent {__version__} ({commit}{' with changes' if changed else ''})"


def _row(check: Check) -> str:
    verdict = "passed" if check.problem is None else f"**failed**: {_cell(check.problem)}"
    return f"| {_cell(check.claim)} | {_cell(check.seen)} | {verdict} |"


def _cell(text: str) -> str:
    """Text that fits into a cell."""
    flat = re.sub(r"\s+", " ", text).strip().replace("|", "\\|")
    return flat if len(flat) <= LONGEST_CELL else f"{flat[: LONGEST_CELL - 3]}..."
