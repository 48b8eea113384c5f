from tests.graviton.user_mode import huge_pages_asked

TRACE = """\
24844 openat(AT_FDCWD,"/proc/self/maps",O_RDONLY|O_CLOEXEC) = 5
24844 madvise(0x000005de28000000,1073741824,MADV_HUGEPAGE) = 0
24844 madvise(0x00007fb78fea8000,4096,MADV_DONTNEED) = 0
24844 madvise(0x000005de68000000,75497472,MADV_HUGEPAGE) = 0
"""


def test_only_advice_for_huge_pages_counts() -> None:
    assert huge_pages_asked(TRACE) == 1073741824 + 75497472


def test_a_process_that_advised_nothing_asked_for_nothing() -> None:
    assert huge_pages_asked("") == 0
