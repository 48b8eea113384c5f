"""What a package says of itself: whose work is in it, and its bill of materials."""

import json
import re
import textwrap
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from graviton_packages.layout import LIBRARIES, LICENCE_TEXT
from graviton_packages.libraries import Library
from graviton_packages.target import Architecture

NAMESPACE = uuid.UUID("9b0b1a2e-5f0e-4a51-8c5e-6d1f7a0c2b44")
"""Of the identifiers of bills of materials, which are the same whenever the package is."""


FORMAT = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"


def licence_of_all(libraries: Sequence[Library]) -> str:
    """One SPDX expression for everything."""
    return " AND ".join(dict.fromkeys(["Apache-2.0", *sorted({library.licence for library in libraries})]))


def copyright_file(libraries: Sequence[Library]) -> str:
    """The licences of all that is in the package, in Debian's format [copyright-format 1.0]."""
    paragraphs = [
        f"Format: {FORMAT}\nUpstream-Name: graviton-agent",
        "Files: *\nCopyright: graviton-agent maintainers\nLicense: Apache-2.0\n"
        + _indented(
            "Licensed under the Apache License, Version 2.0. Its text is in\n"
            f"/usr/share/common-licenses/Apache-2.0 on Debian systems, and in {LICENCE_TEXT} on others."
        ),
    ]
    for library in libraries:
        module = library.name.lower().replace("-", "_")
        holders = re.findall(r"(?m)^\s*(Copyright .*)$", "\n".join(library.licence_texts))
        paragraphs += [
            f"Files: {LIBRARIES.lstrip('/')}/{module}*\n"
            f"Copyright: {'; '.join(dict.fromkeys(holders)) or f'the authors of {library.name}'}\n"
            f"License: {library.licence}-{library.name}\n"
            + _indented("\n\n".join(library.licence_texts) or library.licence)
        ]
    return "\n\n".join(paragraphs) + "\n"


def _indented(text: str) -> str:
    lines = (line.rstrip() for line in text.strip().splitlines())
    return textwrap.indent("\n".join(line or "." for line in lines), " ")


def bill_of_materials(
    version: str, moment: int, architecture: Architecture, libraries: Sequence[Library]
) -> str:
    """What the package is made of, as CycloneDX 1.6 [ECMA-424]."""
    name = f"graviton-agent@{version}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, f'{name} {architecture.machine} {moment}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": "graviton-agent",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "properties": [{"name": "architecture", "value": architecture.machine}],
            },
        },
        "components": [_component(library) for library in libraries],
        "dependencies": [{"ref": name, "dependsOn": [_purl(library) for library in libraries]}],
    }
    return json.dumps(document, indent=1) + "\n"


def _purl(library: Library) -> str:
    return f"pkg:pypi/{library.name.lower().replace('_', '-')}@{library.version}"


def _component(library: Library) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(library),
        "name": library.name,
        "version": library.version,
        "purl": _purl(library),
        "licenses": [_licence(library.licence)],
    }
    if library.homepage:
        component["externalReferences"] = [{"type": "website", "url": library.homepage}]
    if library.parts:
        # What a Rust extension is compiled from, as its own project says.
        parts = json.loads(library.parts.read_text()).get("components", [])
        component["components"] = [
            {key: part[key] for key in ("type", "name", "version", "purl", "licenses") if key in part}
            for part in parts
        ]
    return component


def _licence(words: str) -> dict[str, Any]:
    if re.fullmatch(r"[A-Za-z0-9.+-]+|.*\b(OR|AND)\b.*", words):
        return {"expression": words}
    return {"license": {"name": words}}
