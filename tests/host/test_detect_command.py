"""`graviton-agent detect`, as its user meets it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import graviton_agent
from graviton_agent.cli.main import main
from tests.host.machines import N1, V1, machine, write


@pytest.fixture(autouse=True)
def _keep_signal_handlers() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def graviton(tmp_path: Path) -> str:
    return str(machine(tmp_path, part=V1, cpus=4, product="c7g.xlarge").path)


@pytest.fixture
def altra(tmp_path: Path) -> str:
    return str(machine(tmp_path, part=N1, vendor="ADLINK", product="Ampere Altra Developer Platform").path)


def test_the_exit_code_of_a_graviton_is_0(graviton: str) -> None:
    assert main(["detect", "--root", graviton]) == 0


def test_the_exit_code_of_another_machine_is_3(altra: str) -> None:
    assert main(["detect", "--root", altra]) == 3


def test_the_exit_code_of_what_cannot_be_told_is_3(tmp_path: Path) -> None:
    assert main(["detect", "--root", str(tmp_path)]) == 3


@pytest.mark.parametrize("arguments", [["--root", "/nonexistent/tree"], ["--root"], ["--xml"], ["surplus"]])
def test_wrong_usage_is_two_lines_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert [line.split(":")[0] for line in output.err.splitlines()] == ["graviton-agent", "hint"]


def test_a_file_as_root_is_wrong_usage(tmp_path: Path) -> None:
    assert main(["detect", "--root", str(write(tmp_path, "file", ""))]) == 2


def test_json_has_the_promised_keys(graviton: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["detect", "--json", "--root", graviton])
    facts = json.loads(capsys.readouterr().out)
    promised = {
        "verdict": "graviton",
        "generation": 3,
        "product": "Graviton3",
        "core": "Neoverse V1",
        "instance_type": "c7g.xlarge",
        "vcpus": 4,
        "bf16": True,
        "sve_bits": 256,
    }
    assert {key: facts[key] for key in promised} == promised
    assert facts["reason"].startswith("EC2's firmware says c7g.xlarge")
    assert {tuple(evidence) for evidence in facts["evidence"]} == {("source", "value", "says")}


def test_people_read_the_machine_in_the_first_line(graviton: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path(graviton), "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    main(["detect", "--root", graviton])
    assert capsys.readouterr().out.splitlines()[0] == "c7g.xlarge   Graviton3   4 CPUs   THP madvise"


def test_people_read_the_reason_next(altra: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["detect", "--root", altra])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Neoverse N1   not a Graviton   4 CPUs"
    assert lines[2] == "  The firmware names the maker ADLINK, and Gravitons are in Amazon EC2 alone."


def test_people_read_the_evidence_in_aligned_columns(
    graviton: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["detect", "--root", graviton])
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "  source                           value             what it says",
        "  /proc/cpuinfo                    0x41/0xd40 r1p1   Neoverse V1 in all 4 CPUs: as in Graviton3",
        "  /sys/class/dmi/id/sys_vendor     Amazon EC2        an EC2 instance",
        "  /sys/class/dmi/id/product_name   c7g.xlarge        family c7g: Graviton3",
        "  /sys/firmware/dmi/tables/DMI     -                 absent, or for root alone",
    ]


def test_the_measures_of_the_machine_are_shown(graviton: str, capsys: pytest.CaptureFixture[str]) -> None:
    tree = Path(graviton)
    cache = "sys/devices/system/cpu/cpu0/cache"
    for name, content in {
        "proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n",
        "sys/fs/cgroup/cpu.max": "150000 100000",
        "sys/fs/cgroup/memory.max": "1610612736",
        "sys/kernel/mm/transparent_hugepage/hpage_pmd_size": "2097152",
        "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
        f"{cache}/index0/level": "1",
        f"{cache}/index0/type": "Data",
        f"{cache}/index0/size": "64K",
        f"{cache}/index0/shared_cpu_list": "0",
        f"{cache}/index3/level": "3",
        f"{cache}/index3/type": "Unified",
        f"{cache}/index3/size": "32M",
        f"{cache}/index3/shared_cpu_list": "0-3",
    }.items():
        write(tree, name, content + "\n")
    main(["detect", "--root", graviton])
    assert capsys.readouterr().out.splitlines()[4:9] == [
        "  CPUs         0-3 usable, a quota of 1.5 CPUs",
        "  caches       L1d 64 KiB, L3 32 MiB shared by 0-3",
        "  memory       8 GiB, 4 GiB available, limited to 1.5 GiB",
        "  pages        4 KiB, huge pages of 2 MiB, transparent huge pages: always",
        "  arithmetic   bf16, SVE of 256 bits",
    ]


def test_no_line_is_wider_than_100_characters_whatever_firmware_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(tmp_path, vendor="wordy " * 100, product="W" * 500)
    write(tmp_path, "sys/devices/system/cpu/online", ",".join(str(cpu) for cpu in range(0, 1000, 2)))
    main(["detect", "--root", str(tmp_path)])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_output_has_no_control_characters_whatever_firmware_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(tmp_path, vendor="\x1b[31m\x07\x00\u202e", product="\x9b2J")
    write(tmp_path, "proc/sys/kernel/osrelease", "6.1\x1b[2J\n")
    main(["detect", "--root", str(tmp_path)])
    output = capsys.readouterr().out
    assert output.isascii()
    assert output.replace("\n", "").isprintable()


def run(*arguments: str, locale: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
    source = str(Path(graviton_agent.__file__).parents[1])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": source, "LC_ALL": locale}
    command = [sys.executable, "-m", "graviton_agent", "detect", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def test_a_real_process_tells_a_graviton(graviton: str) -> None:
    finished = run("--json", "--root", graviton)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert json.loads(finished.stdout)["product"] == "Graviton3"


def test_a_real_process_says_what_this_machine_is() -> None:
    finished = run("--json")
    verdict = json.loads(finished.stdout)["verdict"]
    assert finished.returncode == (0 if verdict == "graviton" else 3)


def test_binary_garbage_gives_a_verdict_and_no_traceback(tmp_path: Path) -> None:
    garbage = bytes(range(256)) * 64
    for name in (
        "proc/cpuinfo",
        "proc/meminfo",
        "sys/class/dmi/id/sys_vendor",
        "sys/firmware/dmi/tables/DMI",
    ):
        write(tmp_path, name, garbage)
    finished = run("--root", str(tmp_path), locale="POSIX")
    assert (finished.returncode, finished.stderr) == (3, "")
