"""The changelogs of the packages, from CHANGELOG.md."""

import gzip
import json
import re
import textwrap
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple

from graviton_packages.layout import TREE

MAINTAINER = "graviton-agent maintainers <maintainers@graviton-agent.invalid>"
"""If nobody else is named. The address is no real one: who builds packages for others names himself."""


class Release(NamedTuple):
    """What a version brought."""

    version: str
    date: datetime
    notes: tuple[str, ...]


def releases(version: str, moment: int) -> list[Release]:
    """All of CHANGELOG.md, newest first.

    Args:
        version: of the package; what is released as another one comes below it.
        moment: the date of what isn't released yet, in seconds since 1970.
    """
    found = []
    for number, release in enumerate(re.split(r"(?m)^## ", (TREE / "CHANGELOG.md").read_text())[1:]):
        heading, _, body = release.partition("\n")
        named, _, day = heading.partition(", ")
        date = datetime.fromtimestamp(moment, UTC)
        if day != "unreleased":
            date = datetime.fromisoformat(f"{day}T00:00Z")
        notes = (" ".join(note.split()) for note in re.split(r"(?m)^- ", body)[1:])
        found.append(Release(named if number else version, date, tuple(notes)))
    return found


def debian(found: list[Release], release: str, maintainer: str) -> bytes:
    """As a deb has it, compressed [Debian Policy 4.4]. nfpm's own has lines that lintian finds too long.

    Args:
        found: what the versions brought.
        release: of the packaging.
        maintainer: who answers for them.
    """
    text = "\n".join(
        f"graviton-agent ({one.version}-{release}) stable; urgency=medium\n\n"
        + "".join(f"{_filled(note, '  * ')}\n" for note in one.notes)
        + f"\n -- {maintainer}  {format_datetime(one.date)}\n"
        for one in found
    )
    return gzip.compress(text.encode(), mtime=0)


def rpm(found: list[Release], release: str, maintainer: str) -> bytes:
    """As nfpm makes an rpm's from [goreleaser/chglog]; the arguments are those of `debian`."""
    entries = [
        {
            "semver": f"{one.version}-{release}",
            "date": one.date.isoformat(),
            "packager": maintainer,
            "changes": [{"note": _filled(note, "  ").strip()} for note in one.notes],
        }
        for one in found
    ]
    return json.dumps(entries, indent=1).encode()


def _filled(note: str, mark: str) -> str:
    # A command or an address is never cut in two.
    return textwrap.fill(
        note, 78, initial_indent=mark, subsequent_indent=" " * len(mark), break_on_hyphens=False
    )
