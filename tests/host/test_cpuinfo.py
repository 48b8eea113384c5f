"""Reading /proc/cpuinfo."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.host.cores import Midr
from graviton_agent.host.cpuinfo import EMPTY, Layout, parse_cpuinfo, read_cpuinfo
from graviton_agent.root import Root
from tests.host.machines import BF16, N1, V1, block, cpuinfo, write, x86_cpuinfo

V1_R1P1 = Midr(0x41, V1, 1, 1)


def test_every_block_is_read() -> None:
    assert parse_cpuinfo(cpuinfo(V1, V1, N1)).midrs == (V1_R1P1, V1_R1P1, Midr(0x41, N1, 1, 1))


def test_the_final_newline_may_be_missing() -> None:
    assert parse_cpuinfo(block().rstrip()).midrs == (V1_R1P1,)


def test_blocks_are_told_apart_without_blank_lines() -> None:
    assert len(parse_cpuinfo(cpuinfo(V1, V1, V1).replace("\n\n", "\n")).midrs) == 3


def test_windows_line_ends_and_odd_spacing_make_no_difference() -> None:
    odd = block().replace("\t:", "      :  ").replace("\n", " \r\n")
    assert parse_cpuinfo(odd).midrs == (V1_R1P1,)


def test_an_old_kernels_identity_after_the_last_block_counts_as_a_block() -> None:
    text = (
        "Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\nBogoMIPS\t: 1694.10\n\n"
        "Features\t: swp half thumb\nCPU implementer\t: 0x41\nCPU part\t: 0xc0f\nCPU revision\t: 4\n"
    )
    assert parse_cpuinfo(text).midrs[-1] == Midr(0x41, 0xC0F, None, 4)


def test_a_malformed_number_is_as_good_as_none() -> None:
    for value in ("0xzz", "-0x41", "", "0x", "41", "0x41 0x42", "0x" + "f" * 5000):
        assert parse_cpuinfo(f"CPU implementer : {value}\nCPU part : 0xd40\n").midrs[0].implementer is None


def test_the_form_is_told_by_its_lines() -> None:
    assert parse_cpuinfo(cpuinfo(V1)).layout is Layout.ARM64
    assert parse_cpuinfo(cpuinfo(N1, features="half thumb neon")).layout is Layout.ARM32
    assert parse_cpuinfo(x86_cpuinfo()).layout is Layout.X86
    assert parse_cpuinfo("processor : 0\nvendor_id : IBM/S390\n").layout is None


def test_a_line_that_only_resembles_an_arm_part_names_none() -> None:
    # A pattern that isn't anchored finds "0xa0011d3" in the microcode line of an x86 host.
    assert parse_cpuinfo(x86_cpuinfo()).midr == Midr(None, None, None, None)


def test_features_are_those_of_every_cpu_in_the_first_ones_order() -> None:
    text = block(0, features="fp sve bf16 aes") + block(1, features="aes fp bf16")
    assert parse_cpuinfo(text).features == ("fp", "bf16", "aes")


def test_a_cpu_without_a_feature_line_has_no_features() -> None:
    assert parse_cpuinfo(block(0, features=BF16) + "processor : 1\nCPU part : 0xd40\n").features == ()


def test_what_the_blocks_share_leaves_out_what_one_of_them_lacks() -> None:
    text = block(0) + "processor : 1\nCPU implementer : 0x41\nCPU part : 0xd40\n"
    assert parse_cpuinfo(text).midr == Midr(0x41, V1, None, None)


def test_a_missing_line_is_no_contradiction() -> None:
    assert not parse_cpuinfo(block(0) + "processor : 1\nCPU part : 0xd40\n").has_different_cpus


def test_thousands_of_cpus_are_read() -> None:
    assert len(parse_cpuinfo(cpuinfo(*[V1] * 4096)).midrs) == 4096


def test_an_absent_file_is_empty(tmp_path: Path) -> None:
    assert read_cpuinfo(Root(tmp_path)) == EMPTY


def test_a_file_that_is_longer_than_any_machines_is_not_believed(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", cpuinfo(V1, V1) + "\n" * 16 * 1024 * 1024)
    assert read_cpuinfo(Root(tmp_path)) == EMPTY


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", errors="replace")))
def test_any_text_can_be_parsed(text: str) -> None:
    parse_cpuinfo(text)


WORDS = [
    "processor",
    "CPU part",
    "CPU implementer",
    "Features",
    "flags",
    "vendor_id",
    ":",
    "\n",
    "0x41",
    "0xd40",
    " ",
]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=40).map("".join))
def test_any_text_of_the_kernels_words_can_be_parsed(text: str) -> None:
    parsed = parse_cpuinfo(text)
    assert (parsed.midrs == ()) == (parsed == EMPTY)
