"""Captured machines: what /proc/cpuinfo and DMI of real hosts lead to.

They are read where they are and never copied (their licences are mixed). Without the folder these tests
are skipped; everything that they show is also tested with machines made of facts.
"""

import json
import os
from pathlib import Path

import pytest

from graviton_agent.host import Host, read_host
from graviton_agent.root import Root
from tests.host.machines import EC2, write

HOSTS = Path(os.environ.get("GRAVITON_AGENT_HOSTS", Path(__file__).resolve().parents[2] / "../shared/hosts"))

pytestmark = pytest.mark.skipif(not HOSTS.is_dir(), reason="no captured hosts here")

ALONE = {
    "ampere-altra-adlink-dmi": "other",
    "ampere-altra-hrw": "unknown",
    "ampere-altra-oracle-a1-vm-dmi": "unknown",
    "ampereone-ac3": "other",
    "apple-m1-asahi": "other",
    "azure-cobalt100-vm": "other",
    "broadcom-vulcan-thunderx2": "other",
    "cavium-thunderx2-hrw": "other",
    "dmi-only-ec2-a1.4xlarge": "unknown",
    "dmi-only-ec2-c6g.16xlarge": "unknown",
    "dmi-only-ec2-c7g.8xlarge": "unknown",
    "docker-desktop-mac-m1": "other",
    "ec2-c6g.large-graviton2-record": "unknown",
    "ec2-c7g-graviton3-lscpu-root": "unknown",
    "ec2-c7g.large-graviton3-record": "unknown",
    "ec2-c8g.4xlarge-graviton4-record": "unknown",
    "ec2-c9g.large-graviton5-record": "unknown",
    "ec2-graviton1-hrw": "unknown",
    "ec2-graviton2-hrw": "unknown",
    "ec2-graviton3-hrw": "unknown",
    "ec2-graviton4-hrw": "unknown",
    "ec2-hpc7g.4xlarge-graviton3e-record": "unknown",
    "ec2-t4g.large-graviton2-dmidecode": "unknown",
    "ec2-t4g.large-graviton2-nomad": "unknown",
    "ec2-x86-amd-7r13": "other",
    "google-axion-hrw": "unknown",
    "hisilicon-kunpeng920-hrw": "other",
    "mt8173-32bit-compat": "other",
    "neoverse-n2-ubuntu2204-no-final-newline": "other",
    "nvidia-gb10-dgx-spark": "other",
    "nvidia-grace-hrw": "unknown",
    "nxp-lx2160a-honeycomb": "unknown",
    "phytium-d3000": "other",
    "qemu-max": "other",
    "qemu-neoverse-n1": "unknown",
    "raspberry-pi4": "unknown",
    "raspberry-pi5": "other",
    "rk3399-mixed-a53-a72": "other",
    "snapdragon-8cx-wsl2": "other",
    "util-linux-armv7-old-format": "other",
    "util-linux-x86-epyc7451": "other",
}
"""Each capture as it is. Most have no DMI, so that a Graviton's core alone has to leave them unknown."""

COMPOSITES = {
    ("ec2-graviton1-hrw", "dmi-only-ec2-a1.4xlarge"): "Graviton1",
    ("ec2-graviton2-hrw", "dmi-only-ec2-c6g.16xlarge"): "Graviton2",
    ("ec2-t4g.large-graviton2-nomad", "ec2-t4g.large-graviton2-dmidecode"): "Graviton2",
    ("ec2-graviton3-hrw", "dmi-only-ec2-c7g.8xlarge"): "Graviton3",
    ("ec2-graviton3-hrw", "dmi-only-ec2-c6g.16xlarge"): "unknown",
    ("ec2-graviton4-hrw", "dmi-only-ec2-c7g.8xlarge"): "unknown",
    ("nvidia-grace-hrw", "dmi-only-ec2-c7g.8xlarge"): "unknown",
    ("azure-cobalt100-vm", "dmi-only-ec2-c7g.8xlarge"): "unknown",
    ("rk3399-mixed-a53-a72", "dmi-only-ec2-a1.4xlarge"): "unknown",
    ("ec2-x86-amd-7r13", "dmi-only-ec2-c7g.8xlarge"): "other",
    ("ampere-altra-hrw", "ampere-altra-adlink-dmi"): "other",
    ("ampere-altra-hrw", "ampere-altra-oracle-a1-vm-dmi"): "unknown",
    ("qemu-neoverse-n1", "ampere-altra-oracle-a1-vm-dmi"): "unknown",
}
"""The cpuinfo of one capture with the DMI of another: machines that nobody captured as a whole."""

RECORDS = {
    "ec2-c6g.large-graviton2-record": "Graviton2",
    "ec2-c7g.large-graviton3-record": "Graviton3",
    "ec2-c8g.4xlarge-graviton4-record": "Graviton4",
    "ec2-c9g.large-graviton5-record": "Graviton5",
    "ec2-hpc7g.4xlarge-graviton3e-record": "Graviton3E",
}


def tree(folder: Path, cpuinfo: Path, dmi: Path) -> Root:
    """A tree with the cpuinfo of one capture and the DMI values of one, where they have any."""
    for path in cpuinfo.glob("proc_cpuinfo*"):
        write(folder, "proc/cpuinfo", path.read_bytes())
    for path in dmi.glob("dmi/*"):
        write(folder, f"sys/class/dmi/id/{path.name}", path.read_bytes() + b"\n")
    return Root(folder)


def answer(host: Host) -> str:
    return host.product or host.verdict


@pytest.mark.parametrize(("name", "expected"), ALONE.items())
def test_a_capture_alone(tmp_path: Path, name: str, expected: str) -> None:
    assert answer(read_host(tree(tmp_path, HOSTS / name, HOSTS / name))) == expected


@pytest.mark.parametrize(("names", "expected"), COMPOSITES.items())
def test_a_composite_of_two_captures(tmp_path: Path, names: tuple[str, str], expected: str) -> None:
    cpuinfo, dmi = names
    assert answer(read_host(tree(tmp_path, HOSTS / cpuinfo, HOSTS / dmi))) == expected


@pytest.mark.parametrize(("name", "expected"), RECORDS.items())
def test_a_record_with_the_dmi_that_its_instance_type_stands_for(
    tmp_path: Path, name: str, expected: str
) -> None:
    # A composite too: the record has the instance type, but was taken in a container without DMI values.
    record = json.loads((HOSTS / name / "host_record.json").read_text(encoding="utf-8"))
    root = tree(tmp_path, HOSTS / name, HOSTS / name)
    write(tmp_path, "sys/class/dmi/id/sys_vendor", EC2)
    write(tmp_path, "sys/class/dmi/id/product_name", record["instance_type"])
    host = read_host(root)
    assert answer(host) == expected
    assert host.bf16 is record["cpuinfo"]["has_bf16"]
    assert host.sve_bits == record["sve_vector_bits"]


@pytest.mark.parametrize("name", sorted(path.name for path in HOSTS.glob("*")))
def test_no_capture_alone_is_a_graviton(tmp_path: Path, name: str) -> None:
    # None of them has the DMI of EC2 together with the cpuinfo of a Graviton.
    assert read_host(tree(tmp_path, HOSTS / name, HOSTS / name)).generation is None
