"""What a setting declares: everything that the agent knows about one environment variable, in one place."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from graviton_agent.host import Host
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload


class Lever(StrEnum):
    """How a screening trial can vary the setting."""

    ENVIRONMENT = "environment"
    """Read once at start: each value needs a process of its own."""
    DISPATCH = "dispatch"
    """Emulated in a running process, product by product, with torch's own backend flag."""
    THREADS = "threads"
    """Varied in a running process with torch.set_num_threads."""


class Proof(StrEnum):
    """What must be seen before a setting is believed to do anything here."""

    BF16_BITS = "output bits change, by an error of bf16's size"
    DISPATCH_BITS = "output bits equal those of the BLAS library, and a control product's don't"
    HUGE_PAGES = "the process's huge pages (AnonHugePages) rise"
    NO_HUGE_PAGES = "the process's huge pages (AnonHugePages) fall"
    THREADS = "torch reports the number of threads"


@dataclass(frozen=True)
class Applies:
    """Whether a setting can have any effect on a host with a torch build, and why."""

    possible: bool
    why: str
    """What `calibrate` and `settings` print: a clause without a full stop."""

    @classmethod
    def yes(cls, why: str) -> "Applies":
        """It may have an effect, which trials must show."""
        return cls(possible=True, why=why)

    @classmethod
    def no(cls, why: str) -> "Applies":
        """It can't have an effect, for this reason."""
        return cls(possible=False, why=why)


class Setting(ABC):
    """One environment variable. Subclasses are the catalogue; each has a file of its own."""

    name: ClassVar[str]
    """How the command line and the configuration call it."""
    variable: ClassVar[str]
    """The variable that the agent writes."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Other variables that decide the same thing, and would decide it before or instead of ours."""
    title: ClassVar[str]
    lever: ClassVar[Lever]
    proof: ClassVar[Proof]
    cost: ClassVar[str]
    """What it may cost besides time: accuracy, memory."""
    source: ClassVar[str]
    """Where the variable is read, in torch's or its libraries' sources."""
    changes_results: ClassVar[bool] = False
    """Whether it changes what a model computes by more than the order of additions does."""

    @property
    def marker(self) -> str:
        """A string that the build's libraries contain if they read the variable."""
        return self.variable

    @property
    def summary(self) -> str:
        """What the variable does: the first paragraph of the class's description."""
        return " ".join((type(self).__doc__ or "").split("\n\n", maxsplit=1)[0].split())

    def to_json(self, applies: Applies | None, candidates: tuple[str, ...]) -> dict[str, object]:
        """The declaration, and what was found out about it here, as JSON's types."""
        return {
            "name": self.name,
            "variable": self.variable,
            "aliases": self.aliases,
            "title": self.title,
            "summary": self.summary,
            "proof": self.proof.value,
            "cost": self.cost,
            "source": self.source,
            "applies": applies.possible if applies else None,
            "why": applies.why if applies else None,
            "candidates": candidates,
        }

    @abstractmethod
    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        """Whether it can have an effect here, from facts alone."""

    @abstractmethod
    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """The values worth a trial, besides leaving the variable unset. Empty if there is none."""
