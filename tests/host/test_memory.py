"""Reading memory, pages and huge pages."""

import os
from pathlib import Path

import pytest

from graviton_agent.host.memory import Memory, read_memory
from graviton_agent.root import Root
from tests.host.machines import write

THP = "sys/kernel/mm/transparent_hugepage"


def test_sizes_are_bytes(tmp_path: Path) -> None:
    write(
        tmp_path, "proc/meminfo", "MemTotal:       16081472 kB\nMemFree: 1 kB\nMemAvailable:   15000000 kB\n"
    )
    memory = read_memory(Root(tmp_path))
    assert (memory.total, memory.available) == (16081472 * 1024, 15000000 * 1024)


@pytest.mark.parametrize("mode", ["always", "madvise", "never"])
def test_the_mode_in_brackets_is_in_force(tmp_path: Path, mode: str) -> None:
    write(tmp_path, f"{THP}/enabled", "always madvise never\n".replace(mode, f"[{mode}]"))
    assert read_memory(Root(tmp_path)).thp_mode == mode


@pytest.mark.parametrize(
    ("huge", "page"), [(2 * 2**20, 4096), (32 * 2**20, 16384), (512 * 2**20, 65536), (12345, None)]
)
def test_another_machines_page_size_follows_from_its_huge_pages(
    tmp_path: Path, huge: int, page: int | None
) -> None:
    write(tmp_path, f"{THP}/hpage_pmd_size", f"{huge}\n")
    memory = read_memory(Root(tmp_path))
    assert (memory.thp_size, memory.page_size) == (huge, page)


def test_this_machines_page_size_is_the_running_kernels() -> None:
    assert read_memory(Root("/")).page_size == os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("content", ["", "MemTotal: many kB\n", "MemTotal: 16081472\n", "\x00\xff" * 100])
def test_what_is_not_there_is_none(tmp_path: Path, content: str) -> None:
    write(tmp_path, "proc/meminfo", content)
    write(tmp_path, f"{THP}/enabled", content)
    write(tmp_path, f"{THP}/hpage_pmd_size", content)
    assert read_memory(Root(tmp_path)) == Memory(None, None, None, None, None)
