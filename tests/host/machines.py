"""Machines made of facts: the texts, tables and trees that a kernel would show of them."""

from collections.abc import Iterable
from pathlib import Path

from graviton_agent.host.cpuinfo import parse_cpuinfo
from graviton_agent.host.dmi import Dmi
from graviton_agent.host.generation import Facts
from graviton_agent.root import Root

A72, N1, V1, V2, V3 = 0xD08, 0xD0C, 0xD40, 0xD4F, 0xD84
N2 = 0xD49
BF16 = "fp asimd evtstrm aes sve asimdfhm i8mm bf16"
EC2 = "Amazon EC2"


def block(
    number: int = 0, part: int = V1, *, implementer: int = 0x41, step: str = "r1p1", features: str = BF16
) -> str:
    """One CPU, as an arm64 kernel prints it."""
    variant, revision = step.removeprefix("r").split("p")
    return (
        f"processor\t: {number}\n"
        "BogoMIPS\t: 2100.00\n"
        f"Features\t: {features}\n"
        f"CPU implementer\t: {implementer:#04x}\n"
        "CPU architecture: 8\n"
        f"CPU variant\t: {int(variant):#x}\n"
        f"CPU part\t: {part:#05x}\n"
        f"CPU revision\t: {revision}\n"
        "\n"
    )


def cpuinfo(*parts: int, features: str = BF16) -> str:
    """A CPU for each part number."""
    return "".join(block(number, part, features=features) for number, part in enumerate(parts))


def x86_cpuinfo(cpus: int = 2, flags: str = "fpu sse2 avx512_bf16") -> str:
    """An x86 machine's text."""
    return "".join(
        f"processor\t: {number}\nvendor_id\t: AuthenticAMD\nmodel\t\t: 1\n"
        f"model name\t: AMD EPYC 7R13 Processor\nmicrocode\t: 0xa0011d3\nflags\t\t: {flags}\n\n"
        for number in range(cpus)
    )


def facts(
    text: str | None = None,
    *,
    part: int = V1,
    vendor: str | None = EC2,
    product: str | None = None,
    processors: Iterable[str] = (),
    board: str | None = None,
    uname: str | None = None,
) -> Facts:
    """What the verdict depends on: four CPUs with the part, unless a whole text is given."""
    return Facts(
        cpuinfo=parse_cpuinfo(cpuinfo(part, part, part, part) if text is None else text),
        dmi=Dmi(sys_vendor=vendor, product_name=product, processors=tuple(processors)),
        board=board,
        machine=uname,
    )


def machine(
    folder: Path,
    *,
    part: int = V1,
    cpus: int = 4,
    vendor: str | None = EC2,
    product: str | None = "c7g.xlarge",
) -> Root:
    """A tree with /proc/cpuinfo and DMI."""
    write(folder, "proc/cpuinfo", cpuinfo(*[part] * cpus))
    for name, value in (("sys_vendor", vendor), ("product_name", product)):
        if value is not None:
            write(folder, f"sys/class/dmi/id/{name}", f"{value}\n")
    return Root(folder)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    """Puts a file into a tree."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def smbios_structure(kind: int, fields: bytes, *strings: str) -> bytes:
    """A structure: header (type, length, handle), fields, strings."""
    texts = b"".join(text.encode() + b"\0" for text in strings) or b"\0"
    return bytes((kind, 4 + len(fields), 0, 0)) + fields + texts + b"\0"


def smbios_processor(*names: str) -> bytes:
    """A processor structure of SMBIOS 3.0 by manufacturer AWS: string 2 is the version, 3 the part number."""
    fields = bytearray(0x30 - 4)
    fields[0x07 - 4], fields[0x10 - 4], fields[0x22 - 4] = 1, 2, 3
    return smbios_structure(4, bytes(fields), "AWS", *names)
