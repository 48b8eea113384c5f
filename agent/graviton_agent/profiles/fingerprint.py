"""Everything that a calibration's result depends on, as facts that can be compared.

A fact is a name and a text. Those of `shared` are the same on every host of a fleet on which the result
holds; those of `local` say where things lie on this host and which files they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from graviton_agent.root import MIB
from graviton_agent.units.identity import FILE_FACT

LONGEST_FACT = 8192
"""Characters of one fact."""

MACHINE = {
    "instance": "the instance type",
    "cpu": "the CPU",
    "thp": "the mode of transparent huge pages",
    "kernel": "the kernel",
}
INSIDE = {
    "quota": "the CPU quota",
    "memory": "the memory limit",
    "cpu count": "the number of CPUs",
}
"""What the unit's processes may use, as seen from inside."""
TORCH = {
    "torch": "torch",
    "build": "the build of torch",
    "libraries": "what torch is built on",
}
ASKED = {
    "workload": "the workload",
    "settings": "the settings that may be tried",
    "threads": "the number of threads",
    "bounds": "the bounds on accuracy and memory",
    "catalogue": "the agent's knowledge of the settings",
    "held": "the variables that others set",
}
SHARED = {**MACHINE, **INSIDE, **TORCH, **ASKED}
"""Every shared fact, in words."""

LOCAL = {
    "python": "the interpreter",
    "search": "where the interpreter looks for modules and libraries",
    "limits": "the unit's limits",
    "cpus": "the CPUs that the unit may use",
    "location": "the place of torch",
}
"""Every fact of this host, in words; facts about files have names of their own (identity.py)."""

PLURAL = frozenset({"settings", "bounds", "limits", "cpus"})


@dataclass(frozen=True)
class Fingerprint:
    """All the facts. A fact that could not be seen is left out, and is then not compared."""

    shared: Mapping[str, str]
    local: Mapping[str, str]

    def differences(self, now: "Fingerprint") -> tuple[str, ...]:
        """What has changed since, a clause for each fact; empty if the result holds.

        Which files torch is made of doesn't count: the same build may have been installed anew, and what is
        another build differs in its shared facts.
        """
        pairs = (
            (words, name, before.get(name), after.get(name))
            for facts, before, after in ((SHARED, self.shared, now.shared), (LOCAL, self.local, now.local))
            for name, words in facts.items()
        )
        changed = [
            (words, name, before, after)
            for words, name, before, after in pairs
            if before is not None and after is not None and before != after
        ]
        names = {name for _, name, *_ in changed}
        # Another version is always another build.
        return tuple(_difference(*fact) for fact in changed if fact[1] != "build" or "torch" not in names)

    @property
    def files(self) -> dict[str, str]:
        """The facts about torch's files."""
        return {name: text for name, text in self.local.items() if name.startswith(FILE_FACT)}


def _difference(words: str, name: str, before: str, after: str) -> str:
    if name == "held":
        old, new = set(before.split(", ")), set(after.split(", "))
        gone = [f"{held} is not set by others any more" for held in sorted(old - new - {""})]
        return "; ".join([*gone, *(f"{held} is set by others now" for held in sorted(new - old - {""}))])
    if name == "build":
        # Digests say nothing to people.
        return f"{words} is another one"
    was, now = ("were", "are") if name in PLURAL else ("was", "is")
    return f"{words} {was} {in_words(name, before)}, {now} {in_words(name, after)}"


def in_words(name: str, text: str) -> str:
    """A fact's text for people."""
    if name == "quota" and text.isdecimal():
        return "1 CPU" if text == "1000" else f"{int(text) / 1000:g} CPUs"
    if name == "memory" and text.isdecimal():
        return f"{int(text) / MIB:,.0f} MiB"
    return text or "nothing"
