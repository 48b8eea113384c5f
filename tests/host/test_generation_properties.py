"""What holds for every machine, real or not."""

from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.host.cpuinfo import parse_cpuinfo
from graviton_agent.host.dmi import Dmi
from graviton_agent.host.generation import Facts, Verdict, identify, weigh
from tests.host.machines import A72, EC2, N1, N2, V1, V2, V3, block, facts, x86_cpuinfo

CORE_OF_FAMILY = {
    "a1": A72,
    "t4g": N1, "m6g": N1, "m6gd": N1, "c6g": N1, "c6gd": N1, "c6gn": N1, "r6g": N1, "r6gd": N1, "x2gd": N1,
    "g5g": N1, "i4g": N1, "im4gn": N1, "is4gen": N1,
    "m7g": V1, "m7gd": V1, "c7g": V1, "c7gd": V1, "r7g": V1, "r7gd": V1, "c7gn": V1, "hpc7g": V1,
    "m8g": V2, "m8gd": V2, "m8gn": V2, "m8gb": V2, "c8g": V2, "c8gd": V2, "c8gn": V2, "c8gb": V2, "r8g": V2,
    "r8gd": V2, "r8gn": V2, "r8gb": V2, "x8g": V2, "i8g": V2, "i8ge": V2,
    "m9g": V3, "m9gd": V3, "c9g": V3, "c9gd": V3,
}  # fmt: skip
"""The families that AWS has, and the core of their Graviton, written down without the code's patterns."""

PARTS = st.sampled_from([A72, N1, V1, V2, V3, N2, 0xD03]) | st.integers(0, 0xFFF)
VENDORS = st.sampled_from([EC2, None, "QEMU", "Google", "Amazon"]) | st.text(max_size=20)
PRODUCTS = (
    st.sampled_from([f"{family}.large" for family in (*CORE_OF_FAMILY, "c7i", "p6e-gb200", "c10g")])
    | st.text()
)
STEPS = st.sampled_from(["r1p1", "r0p1"])
BLOCKS = st.builds(
    block, st.integers(0, 9), PARTS, implementer=st.sampled_from([0x41, 0x41, 0x43, 0]), step=STEPS
)
CPUINFOS = (
    st.lists(BLOCKS | st.sampled_from(["processor : 1\n\n", "\n", x86_cpuinfo(1)]), max_size=3).map("".join)
    | st.builds(lambda one, count: one * count, BLOCKS, st.integers(1, 4))
    | st.text()
)
SMBIOS = st.lists(st.sampled_from([f"AWS Graviton{n}" for n in range(1, 6)]) | st.text(), max_size=2)
MACHINES = st.sampled_from([None, "aarch64", "x86_64", "armv8l"])
ANYTHING = st.builds(
    Facts,
    cpuinfo=CPUINFOS.map(parse_cpuinfo),
    dmi=st.builds(Dmi, sys_vendor=VENDORS, product_name=PRODUCTS, processors=SMBIOS.map(tuple)),
    board=st.none() | st.text(),
    machine=MACHINES,
)


@st.composite
def near_gravitons(draw: st.DrawFn) -> Facts:
    """A Graviton, of which one fact at most is replaced by another, which may be as right."""
    family = draw(st.sampled_from(sorted(CORE_OF_FAMILY)))
    blocks = [block(number, CORE_OF_FAMILY[family]) for number in range(draw(st.integers(1, 3)))]
    whole = facts("".join(blocks), product=f"{family}.large")
    other = draw(ANYTHING)
    changed = draw(
        st.sampled_from(["cpuinfo", "block", "vendor", "product", "processors", "machine", "nothing"])
    )
    return {
        "cpuinfo": whole._replace(cpuinfo=other.cpuinfo),
        "block": whole._replace(cpuinfo=parse_cpuinfo("".join([*blocks[1:], draw(BLOCKS)]))),
        "vendor": whole._replace(dmi=whole.dmi._replace(sys_vendor=other.dmi.sys_vendor)),
        "product": whole._replace(dmi=whole.dmi._replace(product_name=other.dmi.product_name)),
        "processors": whole._replace(dmi=whole.dmi._replace(processors=other.dmi.processors)),
        "machine": whole._replace(machine=other.machine),
        "nothing": whole,
    }[changed]


FACTS = ANYTHING | near_gravitons()


@given(FACTS)
def test_every_machine_gets_a_verdict_with_a_reason_and_evidence(case: Facts) -> None:
    identity = identify(case)
    assert identity.reason.endswith(".")
    assert all(evidence.says for evidence in weigh(case))


def claims_of(case: Facts) -> tuple[str | None, set[tuple[int | None, int | None]], int | None]:
    return (
        case.dmi.sys_vendor,
        {(m.implementer, m.part) for m in case.cpuinfo.midrs},
        identify(case).generation,
    )


@given(FACTS)
def test_a_graviton_is_always_ec2s_and_of_the_one_core_that_its_family_has(case: Facts) -> None:
    if identify(case).verdict is Verdict.GRAVITON:
        core = CORE_OF_FAMILY[(case.dmi.product_name or "").removesuffix(".large")]
        generation = [A72, N1, V1, V2, V3].index(core) + 1
        assert claims_of(case) == (EC2, {(0x41, core)}, generation)


@given(FACTS)
def test_generation_and_product_go_with_the_verdict_graviton_alone(case: Facts) -> None:
    identity = identify(case)
    is_graviton = identity.verdict is Verdict.GRAVITON
    assert (identity.generation is not None) == (identity.product is not None) == is_graviton


@given(
    family=st.sampled_from(sorted(CORE_OF_FAMILY)),
    size=st.sampled_from(["medium", "4xlarge", "metal", "metal-24xl"]),
    count=st.sampled_from([1, 2, 96, 192]),
    uname=st.sampled_from([None, "aarch64"]),
)
def test_every_real_instance_type_with_its_core_is_a_graviton(
    family: str, size: str, count: int, uname: str | None
) -> None:
    text = "".join(block(number, CORE_OF_FAMILY[family]) for number in range(count))
    assert identify(facts(text, product=f"{family}.{size}", uname=uname)).verdict is Verdict.GRAVITON


@given(FACTS, st.text().filter(lambda vendor: vendor != EC2) | st.none())
def test_nothing_is_a_graviton_without_ec2s_exact_name(case: Facts, vendor: str | None) -> None:
    elsewhere = case._replace(dmi=case.dmi._replace(sys_vendor=vendor))
    assert identify(elsewhere).verdict is not Verdict.GRAVITON


@given(
    st.lists(st.sampled_from([A72, N1, V1, V2, V3, N2]), min_size=2, max_size=6).filter(
        lambda p: len(set(p)) > 1
    ),
    st.sampled_from(sorted(CORE_OF_FAMILY)),
)
def test_nothing_with_two_kinds_of_core_is_a_graviton(parts: list[int], family: str) -> None:
    text = "".join(block(number, part) for number, part in enumerate(parts))
    assert identify(facts(text, product=f"{family}.large")).verdict is not Verdict.GRAVITON


@given(cut=st.integers(0, len(block(0) + block(1))))
def test_a_truncated_graviton_is_never_taken_for_something_else(cut: int) -> None:
    text = (block(0) + block(1))[:cut]
    assert identify(facts(text, product="c7g.large")).verdict is not Verdict.OTHER
