"""What was seen, as the rows of the tables in docs/settings.md. Pure."""

from collections.abc import Mapping, Sequence

from graviton_agent.calibration.trial import Observation
from graviton_agent.settings.catalogue import CATALOGUE, markers
from graviton_agent.torch_build import TorchBuild
from tests.graviton.dispatch.claims import Alive, Claim
from tests.graviton.dispatch.looks import ABOVE, DEFAULT, LOWERED, RAISED, Look
from tests.graviton.dispatch.table import Row

MIB = 1 << 20
ALIVE, DEAD, NONE = "alive", "dead", "none"
SHOWN = ((DEFAULT, 8), (DEFAULT, 9), (LOWERED, 8), (RAISED, ABOVE), (RAISED, ABOVE + 1))
"""The processes and batches whose products the table shows: the two sides of each threshold."""


def of_settings(
    alive: Mapping[str, Alive], own: int | None, made: Sequence[Claim], looks: Mapping[str, Look]
) -> Row:
    """Which settings are alive for a torch on a core, its own threshold, and whether all claims hold."""
    words = [ALIVE if alive[setting.name].alive else DEAD for setting in CATALOGUE]
    holds = sum(claim.holds for claim in made)
    return (*words, "0" if own is None else f"{own}", f"{holds} of {len(made)}", last_day(looks))


def of_products(looks: Mapping[str, Look]) -> Row:
    """Who computes the products of each process at the batches shown, and how wrong the worst of them is."""
    return (*(_computed(looks[name].seen, batch) for name, batch in SHOWN), last_day(looks))


def of_memory(looks: Mapping[str, Look]) -> Row:
    """How much memory each process asks to have in huge pages."""
    return (*(f"{looks[name].asked / MIB:.0f} MiB" for name in (DEFAULT, LOWERED, RAISED)), last_day(looks))


def of_build(build: TorchBuild, empty: str, log: str, day: str) -> Row:
    """A torch as the product's probe describes it, what it makes of an empty threshold, and what it logs."""
    lacking = [marker for marker in markers() if marker not in build.variables]
    blas = f"{build.blas_name} {build.blas_version}"
    found = (build.onednn or NONE, build.acl_version or NONE, blas, build.allocator)
    return (*found, ", ".join(f"`{marker}`" for marker in lacking) or NONE, empty, log, day)


def last_day(looks: Mapping[str, Look]) -> str:
    """When the last of the processes was looked at."""
    return max(look.day for look in looks.values())


def _computed(seen: Observation, batch: int) -> str:
    case = seen.case(batch)
    error = max(product.error for product in case.products)
    return f"{', '.join(case.kernels) or 'BLAS'}, {error:.1e}"
