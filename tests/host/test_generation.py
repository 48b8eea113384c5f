"""The verdict, case by case."""

import pytest

from graviton_agent.host.generation import Facts, Verdict, identify
from tests.host.machines import A72, N1, N2, V1, V2, V3, block, cpuinfo, facts, x86_cpuinfo


def verdict_of(case: Facts) -> Verdict:
    return identify(case).verdict


@pytest.mark.parametrize(
    ("part", "product", "generation", "name"),
    [
        (A72, "a1.4xlarge", 1, "Graviton1"),
        (A72, "a1.metal", 1, "Graviton1"),
        (N1, "c6g.16xlarge", 2, "Graviton2"),
        (N1, "c6gn.medium", 2, "Graviton2"),
        (N1, "t4g.large", 2, "Graviton2"),
        (N1, "x2gd.metal", 2, "Graviton2"),
        (N1, "g5g.xlarge", 2, "Graviton2"),
        (N1, "i4g.large", 2, "Graviton2"),
        (N1, "im4gn.large", 2, "Graviton2"),
        (N1, "is4gen.large", 2, "Graviton2"),
        (V1, "c7g.8xlarge", 3, "Graviton3"),
        (V1, "r7gd.metal", 3, "Graviton3"),
        (V1, "c7gn.16xlarge", 3, "Graviton3E"),
        (V1, "hpc7g.4xlarge", 3, "Graviton3E"),
        (V2, "r8g.metal-24xl", 4, "Graviton4"),
        (V2, "i8ge.large", 4, "Graviton4"),
        (V3, "m9g.medium", 5, "Graviton5"),
        (V3, "c9gd.48xlarge", 5, "Graviton5"),
    ],
)
def test_ec2_with_a_family_that_agrees_with_the_core_is_a_graviton(
    part: int, product: str, generation: int, name: str
) -> None:
    identity = identify(facts(part=part, product=product))
    assert (identity.verdict, identity.generation, identity.product) == (Verdict.GRAVITON, generation, name)


@pytest.mark.parametrize(
    ("part", "product"), [(V2, "z8gxy.large"), (V3, "r9g.2xlarge"), (V3, "hpc9gb.large")]
)
def test_a_new_family_of_a_known_generation_needs_no_release(part: int, product: str) -> None:
    assert verdict_of(facts(part=part, product=product)) is Verdict.GRAVITON


def test_the_reason_of_a_graviton_names_instance_type_product_and_core() -> None:
    assert identify(facts(part=V1, product="c7gn.xlarge")).reason == (
        "EC2's firmware says c7gn.xlarge, which has a Graviton3E, and every CPU has its core, Neoverse V1."
    )


@pytest.mark.parametrize("part", [A72, N1, V1, V2, V3])
def test_a_gravitons_core_without_dmi_is_unknown(part: int) -> None:
    assert verdict_of(facts(part=part, vendor=None)) is Verdict.UNKNOWN


def test_the_reason_without_dmi_names_who_else_has_the_core() -> None:
    assert identify(facts(part=N1, vendor=None)).reason == (
        "The CPUs are Neoverse N1, as in Graviton2 but also in Ampere Altra, "
        "and no firmware (DMI) says whose machine this is."
    )


def test_an_instance_type_without_ec2s_name_proves_nothing() -> None:
    assert verdict_of(facts(vendor=None, product="c7g.xlarge")) is Verdict.UNKNOWN


@pytest.mark.parametrize("vendor", ["Google", "Microsoft Corporation", "Alibaba Cloud", "ADLINK", "NVIDIA"])
def test_a_gravitons_core_in_another_makers_machine_is_something_else(vendor: str) -> None:
    assert verdict_of(facts(part=V2, vendor=vendor, product="c8g.large")) is Verdict.OTHER


@pytest.mark.parametrize("vendor", ["QEMU", "KVM", "Xen", "Red Hat", "OpenStack Foundation"])
def test_a_guest_whose_hypervisor_hides_the_hardware_is_unknown(vendor: str) -> None:
    # It may run on a Graviton .metal instance, where it has that Graviton's core.
    assert verdict_of(facts(part=N1, vendor=vendor, product="KVM Virtual Machine")) is Verdict.UNKNOWN


@pytest.mark.parametrize("vendor", ["amazon ec2", "Amazon EC2 Nitro", "Amazon", "Amazon EC2?"])
def test_a_vendor_that_only_resembles_ec2_is_unknown(vendor: str) -> None:
    assert verdict_of(facts(part=V1, vendor=vendor, product="c7g.large")) is Verdict.UNKNOWN


def test_gb200_on_ec2_is_something_else_although_its_core_is_graviton4s() -> None:
    assert verdict_of(facts(part=V2, product="p6e-gb200.36xlarge")) is Verdict.OTHER


@pytest.mark.parametrize(
    "product", [None, "", "c7g", "c7g.", ".large", "C7G.LARGE", "KVM Virtual Machine", "c7g/x"]
)
def test_ec2_without_an_instance_type_is_unknown(product: str | None) -> None:
    assert verdict_of(facts(part=V1, product=product)) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "product",
    [
        "c5.large",
        "c10g.large",
        "m7i.large",
        "x3gd.large",
        "mac2.metal",
        "7g.large",
        "c7g2.large",
        "m7g-flex.large",
    ],
)
def test_ec2_with_a_family_that_is_not_known_to_have_a_graviton_is_unknown(product: str) -> None:
    assert verdict_of(facts(part=V1, product=product)) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("part", "product"), [(N1, "c7g.large"), (V2, "m9g.large"), (V1, "t4g.micro"), (V3, "a1.large")]
)
def test_a_family_that_disagrees_with_the_core_is_unknown(part: int, product: str) -> None:
    assert verdict_of(facts(part=part, product=product)) is Verdict.UNKNOWN


def test_the_reason_of_a_disagreement_names_both_sides() -> None:
    assert identify(facts(part=N1, product="c7g.large")).reason == (
        "EC2's firmware says c7g.large, which has a Graviton3, "
        "but the CPUs are Neoverse N1, the core of Graviton2."
    )


def test_an_arm_core_that_no_graviton_has_is_something_else_even_without_dmi() -> None:
    assert identify(facts(part=N2, vendor=None)).reason == (
        "A CPU is 0x41/0xd49 r1p1 (Neoverse N2), which no Graviton up to Graviton5 has."
    )
    assert verdict_of(facts(part=N2, vendor=None)) is Verdict.OTHER


@pytest.mark.parametrize("implementer", [0x00, 0x43, 0x48, 0x61, 0x6D, 0x70, 0xC0])
def test_another_implementers_core_is_something_else_even_with_a_gravitons_part_number(
    implementer: int,
) -> None:
    assert verdict_of(facts(block(part=V1, implementer=implementer), vendor=None)) is Verdict.OTHER


def test_an_unfamiliar_core_on_ec2_is_unknown_because_it_may_be_a_newer_graviton() -> None:
    assert verdict_of(facts(part=0xDFF, product="m10g.large")) is Verdict.UNKNOWN


def test_x86_on_ec2_is_something_else() -> None:
    assert verdict_of(facts(x86_cpuinfo(), product="c6a.large")) is Verdict.OTHER


def test_x86_is_something_else_whatever_the_firmware_says() -> None:
    assert verdict_of(facts(x86_cpuinfo(), product="c7g.large")) is Verdict.OTHER


@pytest.mark.parametrize("odd_one_out", range(4))
def test_every_block_must_have_the_families_core(odd_one_out: int) -> None:
    parts = [V1] * 4
    parts[odd_one_out] = V2
    assert verdict_of(facts(cpuinfo(*parts), product="c7g.large")) is Verdict.UNKNOWN


def test_cpus_of_different_steppings_are_unknown() -> None:
    text = block(0, step="r1p1") + block(1, step="r1p0")
    assert verdict_of(facts(text, product="c7g.large")) is Verdict.UNKNOWN


def test_a_big_little_machine_is_something_else_for_one_core_that_no_graviton_has() -> None:
    assert verdict_of(facts(cpuinfo(0xD03, 0xD03, A72, A72), vendor=None)) is Verdict.OTHER


def test_mixed_cores_that_gravitons_have_are_unknown_without_dmi() -> None:
    assert verdict_of(facts(cpuinfo(N1, V1), vendor=None)) is Verdict.UNKNOWN


@pytest.mark.parametrize("line", ["CPU part", "CPU implementer"])
def test_a_block_that_does_not_name_its_core_is_unknown(line: str) -> None:
    whole = block(1)
    without = "".join(kept for kept in whole.splitlines(keepends=True) if not kept.startswith(line))
    assert verdict_of(facts(block(0) + without, product="c7g.large")) is Verdict.UNKNOWN


@pytest.mark.parametrize("line", ["BogoMIPS", "Features", "CPU revision", "CPU variant", "CPU architecture"])
def test_lines_that_do_not_name_the_core_may_be_missing(line: str) -> None:
    text = "".join(kept for kept in cpuinfo(V1, V1).splitlines(keepends=True) if not kept.startswith(line))
    assert verdict_of(facts(text, product="c7g.large")) is Verdict.GRAVITON


@pytest.mark.parametrize(
    "text", ["", "\n\n", "processor\t: 0\n", "\x00\xff\x7fELF", "cpu : POWER9\n", "processor: 0\nhart: 0"]
)
def test_a_cpuinfo_that_names_no_cpu_is_unknown_even_on_ec2(text: str) -> None:
    assert verdict_of(facts(text, product="c7g.large")) is Verdict.UNKNOWN


def test_another_makers_machine_is_something_else_even_without_cpuinfo() -> None:
    assert verdict_of(facts("", vendor="ADLINK")) is Verdict.OTHER


def test_a_text_with_both_arms_and_x86s_lines_is_unknown() -> None:
    assert verdict_of(facts(cpuinfo(V1) + x86_cpuinfo(1), product="c7g.large")) is Verdict.UNKNOWN


def test_the_32_bit_view_of_a_gravitons_core_is_unknown() -> None:
    text = cpuinfo(N1, N1, features="half thumb fastmult vfp neon aes")
    assert verdict_of(facts(text, product="c6g.large")) is Verdict.UNKNOWN


def test_a_process_that_runs_as_x86_on_a_gravitons_core_is_emulated_and_unknown() -> None:
    assert verdict_of(facts(part=V1, product="c7g.large", uname="x86_64")) is Verdict.UNKNOWN


def test_a_machine_that_is_neither_arm_nor_x86_is_something_else() -> None:
    assert verdict_of(facts("processor: 0\nhart: 0\n", vendor=None, uname="riscv64")) is Verdict.OTHER


def test_a_running_graviton_is_a_graviton() -> None:
    assert verdict_of(facts(part=V1, product="c7g.large", uname="aarch64")) is Verdict.GRAVITON


def test_smbios_that_agrees_changes_nothing() -> None:
    case = facts(part=V1, product="c7g.large", processors=["AWS Graviton3"])
    assert verdict_of(case) is Verdict.GRAVITON


@pytest.mark.parametrize("name", ["AWS Graviton2", "Amazon AWS Graviton4 CPU @ 2.8GHz", "AWS Graviton33"])
def test_smbios_that_disagrees_makes_the_verdict_unknown(name: str) -> None:
    assert verdict_of(facts(part=V1, product="c7g.large", processors=[name])) is Verdict.UNKNOWN


@pytest.mark.parametrize("name", ["N/A", "Graviton2", "XAWS Graviton2", "AWS Graviton"])
def test_smbios_that_names_no_generation_changes_nothing(name: str) -> None:
    assert verdict_of(facts(part=V1, product="c7g.large", processors=[name])) is Verdict.GRAVITON


def test_smbios_alone_proves_no_graviton_but_no_other_machine_either() -> None:
    case = facts(part=V1, vendor="ADLINK", processors=["AWS Graviton3"])
    assert verdict_of(case) is Verdict.UNKNOWN


def test_a_board_named_by_its_device_tree_is_something_else() -> None:
    assert verdict_of(facts(part=A72, vendor=None, board="Raspberry Pi 4 Model B Rev 1.1")) is Verdict.OTHER


def test_a_virtual_board_is_unknown() -> None:
    assert verdict_of(facts(part=N1, vendor=None, board="linux,dummy-virt")) is Verdict.UNKNOWN


def test_a_board_named_beside_a_hypervisor_is_unknown() -> None:
    assert verdict_of(facts(part=A72, vendor="QEMU", board="Some board")) is Verdict.UNKNOWN


def test_a_device_tree_does_not_outweigh_ec2() -> None:
    assert verdict_of(facts(part=A72, product="a1.large", board="Some board")) is Verdict.GRAVITON
