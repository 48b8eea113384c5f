"""The catalogue says of each torch and core what real processes showed, as docs/settings.md keeps it."""

from dataclasses import replace

import pytest

from graviton_agent.host import Host
from graviton_agent.settings.catalogue import CATALOGUE, markers
from graviton_agent.settings.matmul_threshold import HIGHEST_DEFAULT
from graviton_agent.torch_build import TorchBuild
from tests.graviton.dispatch.looks import CORES
from tests.graviton.dispatch.rows import ALIVE, DEAD, NONE
from tests.graviton.dispatch.table import DOCUMENT, rows_of
from tests.graviton.wheels import TORCH
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

GENERATIONS = dict(zip(CORES, (2, 3, 4), strict=True))
MATRIX = [(torch, core) for torch in TORCH for core in CORES]


def table(name: str) -> list[dict[str, str]]:
    head, *rows = rows_of(DOCUMENT.read_text(), f"observed {name}")
    return [dict(zip(head, row, strict=True)) for row in rows]


def build_of(torch: str) -> TorchBuild:
    """A torch as far as its row tells."""
    (row,) = [row for row in table("builds") if row["torch"] == torch]
    lacking = row["names not in its libraries"].replace("`", "").split(", ")
    return replace(
        TORCH_2_9_1,
        version=torch,
        onednn=row["oneDNN"],
        acl=row["ACL"] != NONE,
        acl_version=row["ACL"],
        blas_version=row["BLAS"].split()[-1],
        allocator="mimalloc" if row["allocator"] == "mimalloc" else "malloc",
        variables=tuple(marker for marker in markers() if marker not in lacking),
    )


def host_with(core: str, build: TorchBuild) -> Host:
    return host_of(Machine(GENERATIONS[core], 4, "madvise", build))


@pytest.mark.parametrize(("torch", "core"), MATRIX)
def test_the_catalogue_would_try_what_was_seen_alive_and_nothing_else(torch: str, core: str) -> None:
    (row,) = [row for row in table("settings") if (row["torch"], row["core"]) == (torch, core)]
    build = build_of(torch)
    host = host_with(core, build)
    says = {one.name: ALIVE if one.applies(host, build).possible else DEAD for one in CATALOGUE}
    assert {setting.name: row[setting.name] for setting in CATALOGUE} == says


def test_no_torch_was_seen_with_a_threshold_of_its_own_above_the_catalogues() -> None:
    assert {int(row["torch's own threshold"]) for row in table("settings")} == {HIGHEST_DEFAULT}


@pytest.mark.parametrize("simulated", [TORCH_2_9_1, TORCH_2_10_0])
def test_simulated_builds_are_those_that_were_probed(simulated: TorchBuild) -> None:
    probed = build_of(simulated.version)
    assert set(simulated.variables) & set(markers()) == set(probed.variables)
    assert replace(simulated, variables=probed.variables, huge_pages_by_default=False) == probed
