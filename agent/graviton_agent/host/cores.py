"""What a CPU core's identification register says, and which Graviton has that core.

A core is not a product: the core of every Graviton is in other machines too. Numbers and names are those of
Arm's MIDR_EL1 [torvalds/linux arch/arm64/include/asm/cputype.h, util-linux sys-utils/lscpu-arm.c].
"""

from typing import NamedTuple

ARM = 0x41


class Midr(NamedTuple):
    """The parts of the register that /proc/cpuinfo shows; None where it doesn't."""

    implementer: int | None
    part: int | None
    variant: int | None
    revision: int | None

    def __str__(self) -> str:
        """As people write it: "0x41/0xd40 r1p1"."""
        implementer = "?" if self.implementer is None else f"0x{self.implementer:02x}"
        part = "?" if self.part is None else f"0x{self.part:03x}"
        step = self.step
        return f"{implementer}/{part} {step}" if step else f"{implementer}/{part}"

    @property
    def step(self) -> str | None:
        """Variant and revision, such as "r1p1"."""
        return None if self.variant is None or self.revision is None else f"r{self.variant}p{self.revision}"

    @property
    def graviton_core(self) -> "GravitonCore | None":
        """The core, if a Graviton has it."""
        return GRAVITON_CORES.get(self.part) if self.implementer == ARM and self.part is not None else None

    @property
    def is_foreign(self) -> bool:
        """Whether certainly no Graviton has it; what isn't shown may be anything."""
        return self.implementer not in {None, ARM} or (
            self.part is not None and self.part not in GRAVITON_CORES
        )

    @property
    def name(self) -> str | None:
        """The core's name; its maker's, if only that is known; None if neither is."""
        if self.graviton_core:
            return self.graviton_core.name
        if self.implementer is None or self.part is None:
            return None
        maker = _IMPLEMENTERS.get(self.implementer)
        return _OTHER_CORES.get((self.implementer, self.part)) or (f"a core by {maker}" if maker else None)


class GravitonCore(NamedTuple):
    """The core of one Graviton generation."""

    name: str
    generation: int
    sve_bits: int | None
    """Bits of an SVE register, by prctl [playgroundlogic/aarchsci benchmark/results]; None without SVE."""
    also_in: str
    """Who has the same core and isn't a Graviton."""


GRAVITON_CORES = {
    0xD08: GravitonCore("Cortex-A72", 1, None, "NXP LX2160A and Raspberry Pi 4"),
    0xD0C: GravitonCore("Neoverse N1", 2, None, "Ampere Altra"),
    0xD40: GravitonCore("Neoverse V1", 3, 256, "other chips of Arm's design"),
    0xD4F: GravitonCore("Neoverse V2", 4, 128, "NVIDIA Grace and Google Axion"),
    0xD84: GravitonCore("Neoverse V3", 5, 128, "Microsoft Cobalt 200"),
}
"""By part number; the implementer is ARM."""

_OTHER_CORES = {
    (ARM, 0xC0F): "Cortex-A15",
    (ARM, 0xD03): "Cortex-A53",
    (ARM, 0xD0B): "Cortex-A76",
    (ARM, 0xD49): "Neoverse N2",
    (ARM, 0xD4B): "Cortex-A78C",
    (ARM, 0xD4C): "Cortex-X1C",
    (ARM, 0xD83): "Neoverse V3AE",
    (ARM, 0xD85): "Cortex-X925",
    (ARM, 0xD87): "Cortex-A725",
    (ARM, 0xD8E): "Neoverse N3",
    (0x6D, 0xD49): "Azure Cobalt 100",
    (0xC0, 0xAC3): "AmpereOne",
}
"""For the reader's comfort only: these names decide nothing."""

_IMPLEMENTERS = {
    0x00: "an emulator or hypervisor",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x50: "APM",
    0x51: "Qualcomm",
    0x61: "Apple",
    0x6D: "Microsoft",
    0x70: "Phytium",
    0xC0: "Ampere",
}
