"""Reading DMI values and the raw SMBIOS table."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.host.dmi import Dmi, parse_processors, read_dmi
from graviton_agent.root import Root
from tests.host.machines import smbios_processor, smbios_structure, write

SYSTEM = smbios_structure(1, bytes(23), "Amazon EC2", "c7g.large")
NO_STRINGS = smbios_structure(32, bytes(7))
END = smbios_structure(127, b"")


def read_vendor(folder: Path, raw: bytes) -> str | None:
    write(folder, "sys/class/dmi/id/sys_vendor", raw)
    return read_dmi(Root(folder)).sys_vendor


def test_a_value_is_stripped_of_blanks_and_zero_bytes(tmp_path: Path) -> None:
    assert read_vendor(tmp_path, b"  Amazon EC2 \x00\n") == "Amazon EC2"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"   \n",
        b"Not Specified\n",
        b"To Be Filled By O.E.M.\n",
        b"default string",
        b"None",
        b"\xff" * 64,
    ],
)
def test_a_placeholder_is_no_value(tmp_path: Path, raw: bytes) -> None:
    assert read_vendor(tmp_path, raw) is None


def test_a_value_is_shown_as_printable_ascii(tmp_path: Path) -> None:
    assert read_vendor(tmp_path, b"Evil\x1b[31m\xffInc\xc3\xa9\n") == "Evil?[31m?Inc?"


def test_an_endless_value_is_cut(tmp_path: Path) -> None:
    assert len(read_vendor(tmp_path, b"x" * 100_000) or "") == 128


def test_absent_dmi_reads_as_nothing(tmp_path: Path) -> None:
    assert read_dmi(Root(tmp_path)) == Dmi(sys_vendor=None, product_name=None, processors=())


def test_the_raw_table_is_read_where_it_is_readable(tmp_path: Path) -> None:
    write(tmp_path, "sys/firmware/dmi/tables/DMI", smbios_processor("AWS Graviton3", "AWS Graviton3"))
    assert read_dmi(Root(tmp_path)).processors == ("AWS Graviton3",)


def test_the_processor_is_found_among_other_structures() -> None:
    table = SYSTEM + NO_STRINGS + smbios_processor("AWS Graviton2", "AWS Graviton2") + END
    assert parse_processors(table) == ("AWS Graviton2",)


def test_every_processor_is_read() -> None:
    table = smbios_processor("AWS Graviton4", "Not Specified") + smbios_processor("Other CPU", "P-1") + END
    assert parse_processors(table) == ("AWS Graviton4", "Other CPU", "P-1")


def test_no_more_names_are_kept_than_machines_have_processors() -> None:
    table = b"".join(smbios_processor(f"CPU {number}") for number in range(1000))
    assert len(parse_processors(table)) == 64


def test_the_manufacturer_is_no_name_of_the_processor() -> None:
    assert "AWS" not in parse_processors(smbios_processor("AWS Graviton4"))


def test_nothing_is_read_behind_the_end_of_the_table() -> None:
    assert parse_processors(SYSTEM + END + smbios_processor("AWS Graviton3")) == ()


def test_a_string_number_beyond_the_strings_names_none() -> None:
    fields = bytearray(0x30 - 4)
    fields[0x10 - 4] = 200
    assert parse_processors(smbios_structure(4, bytes(fields), "AWS Graviton3")) == ()


def test_a_processor_structure_of_an_old_version_lacks_the_part_number() -> None:
    fields = bytearray(0x1A - 4)
    fields[0x10 - 4] = 1
    assert parse_processors(smbios_structure(4, bytes(fields), "AWS Graviton1")) == ("AWS Graviton1",)


@pytest.mark.parametrize("length", range(4))
def test_a_structure_shorter_than_its_header_ends_the_table(length: int) -> None:
    assert parse_processors(bytes((1, length, 0, 0, 0, 0)) + smbios_processor("AWS Graviton3")) == ()


@given(st.binary(max_size=500))
def test_any_bytes_can_be_parsed(table: bytes) -> None:
    parse_processors(table)


@given(st.data())
def test_a_damaged_table_can_be_parsed(data: st.DataObject) -> None:
    table = bytearray(SYSTEM + smbios_processor("AWS Graviton3", "AWS Graviton3") + NO_STRINGS + END)
    for position in data.draw(st.lists(st.integers(0, len(table) - 1), max_size=8)):
        table[position] = data.draw(st.integers(0, 255))
    parse_processors(bytes(table[: data.draw(st.integers(0, len(table)))]))


@given(st.binary(max_size=3000))
def test_what_is_read_is_always_short_printable_ascii(raw: bytes) -> None:
    for name in parse_processors(smbios_structure(4, bytes([1] * 44))[:-2] + raw + b"\0\0"):
        assert name.isascii()
        assert name.isprintable()
        assert 0 < len(name) <= 128
