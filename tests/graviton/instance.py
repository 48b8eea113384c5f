"""What a machine claims to be: the texts of its firmware and the core of its CPUs, as QEMU's options."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Instance:
    """An instance type of EC2, or what pretends to be one."""

    product: str
    """Product name by SMBIOS: the instance type."""
    core: str
    """QEMU's name of the core."""
    processor: str
    """Version and part number of the CPU by SMBIOS, such as "AWS Graviton3"."""
    vendor: str = "Amazon EC2"

    @property
    def options(self) -> tuple[str, ...]:
        """For QEMU: the texts that EC2's machines were seen to have."""
        made = f'manufacturer="{self.vendor}"'
        tables = (
            f'type=0,vendor="{self.vendor}",version=1.0,date=11/1/2018',
            f"type=1,{made},product={self.product}",
            f"type=2,{made},asset=i-0123456789abcdef0",
            f'type=3,{made},asset="{self.vendor}"',
            f'type=4,sock_pfx="CPU ",manufacturer="AWS",version="{self.processor}",part="{self.processor}"',
        )
        # QEMU splits at commas, and takes quotes for part of the text.
        smbios = (option for table in tables for option in ("-smbios", table.replace('"', "")))
        return ("-cpu", self.core, *smbios)


@dataclass(frozen=True)
class PlainVirtualMachine:
    """A machine whose firmware says what QEMU's says by itself."""

    core: str
    product: str = "QEMU Virtual Machine"

    @property
    def options(self) -> tuple[str, ...]:
        """For QEMU."""
        return ("-cpu", self.core)


V1, N1 = "neoverse-v1", "neoverse-n1"
C7G = Instance("c7g.xlarge", V1, "AWS Graviton3")
C7GN = Instance("c7gn.xlarge", V1, "AWS Graviton3")
C6G = Instance("c6g.xlarge", N1, "AWS Graviton2")
M8G_ON_V1 = Instance("m8g.xlarge", V1, "AWS Graviton4")
PLAIN = PlainVirtualMachine(V1)
