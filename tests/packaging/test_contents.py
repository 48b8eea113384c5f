"""What is in the built packages."""

import gzip
import hashlib
import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from graviton_agent import __version__
from graviton_packages.build import build
from graviton_packages.bytecode import find_python
from graviton_packages.layout import DOCUMENTS, LIBRARIES, LIBRARY, OWN_FOLDERS
from graviton_packages.target import MINORS, OLDER_MINORS

pytestmark = pytest.mark.packages

LARGEST = 40_000_000
VALIDATOR = "cyclonedx-python-lib[json-validation]==11.12.0"
"""It brings the schema."""
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()))[:500])
"""
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path[:0] = sys.argv[1:]
import graviton_agent
for module in pkgutil.walk_packages(graviton_agent.__path__, "graviton_agent."):
    if module.name not in ("graviton_agent.__main__", "graviton_agent.calibration.worker"):
        importlib.import_module(module.name)
import rich.console, rich.progress
foreign = [m.__file__ for n, m in sys.modules.items()
           if "site-packages" in (getattr(m, "__file__", None) or "")]
assert not foreign, foreign
"""


def test_two_builds_are_the_same_byte_by_byte(packages: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path / "dist", tmp_path / "work")
    assert {path.name: _digest(path) for path in again} == {
        path.name: _digest(path) for path in packages.values()
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session", params=["amd64.deb", "arm64.deb"])
def unpacked(
    request: pytest.FixtureRequest, packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(("dpkg-deb", "--extract", str(packages[request.param]), str(folder)), check=True)
    return folder


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def test_it_is_small(unpacked: Path) -> None:
    files = [path for path in unpacked.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) <= LARGEST


def test_it_has_an_extension_for_every_python(unpacked: Path) -> None:
    found = {path.name.split(".")[1].split("-")[1] for path in _below(unpacked, LIBRARIES).rglob("*.so")}
    assert found == {minor.replace(".", "") for minor in MINORS}


def test_its_extensions_are_for_its_architecture_alone(unpacked: Path) -> None:
    machines = {path.name.split("-")[2] for path in _below(unpacked, LIBRARIES).rglob("*.so")}
    assert len(machines) == 1


@pytest.mark.parametrize("minor", [minor for minor in MINORS if find_python(minor)])
def test_it_has_byte_code_of_every_module_of_its_own(unpacked: Path, minor: str) -> None:
    tag = f"cpython-{minor.replace('.', '')}"
    for source in (_below(unpacked, LIBRARY) / "agent").rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        # Four bytes of magic, then the flags: 1 is a hash that nobody checks [PEP 552].
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0"


@pytest.mark.parametrize("program", ["generator", "check"])
@pytest.mark.parametrize("minor", [minor for minor in (*OLDER_MINORS, *MINORS) if find_python(minor)])
def test_what_systemd_runs_compiles_nothing(unpacked: Path, tmp_path: Path, minor: str, program: str) -> None:
    script = _below(unpacked, f"{LIBRARY}/systemd/graviton-agent-{program}")
    arguments = [str(tmp_path)] * 3 if program == "generator" else ["app.service"]
    command = (str(find_python(minor)), "-vISEB", str(script), *arguments, str(tmp_path))
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    from_source = re.findall(r"(?m)^# code object from '?(.*graviton_agent/.*\.py)'?$", said)
    assert f"import 'graviton_agent.units.{program}'" in said
    assert from_source == []


@pytest.mark.parametrize("minor", MINORS)
def test_every_module_can_be_imported_by_every_python(
    packages: dict[str, Path], tmp_path: Path, minor: str
) -> None:
    python = find_python(minor)
    if python is None:
        pytest.skip(f"there is no Python {minor} here")
    subprocess.run(("dpkg-deb", "--extract", str(packages["amd64.deb"]), str(tmp_path)), check=True)
    folders = (_below(tmp_path, f"{LIBRARY}/agent"), _below(tmp_path, LIBRARIES))
    subprocess.run((str(python), "-ISB", "-c", IMPORT_ALL, *map(str, folders)), check=True)


def test_its_bill_of_materials_names_every_library(unpacked: Path) -> None:
    document = json.loads(_below(unpacked, f"{DOCUMENTS}/sbom.cdx.json").read_text())
    named = {component["name"].lower().replace("-", "_") for component in document["components"]}
    there = {path.name.removesuffix(".py") for path in _below(unpacked, LIBRARIES).iterdir()} - {
        "__pycache__"
    }
    assert named == there
    assert "serde_json" in json.dumps(document), "and what is compiled into extensions"


def test_its_bill_of_materials_is_what_cyclonedx_says_it_should_be(unpacked: Path) -> None:
    document = _below(unpacked, f"{DOCUMENTS}/sbom.cdx.json").read_bytes()
    uv = str(Path(sysconfig.get_path("scripts")) / "uv")
    isolated = ("--quiet", "--system-certs", "--no-project", "--no-config", "--isolated")
    command = (
        uv,
        "run",
        *isolated,
        "--python",
        sys.executable,
        "--with",
        VALIDATOR,
        "python",
        "-c",
        VALIDATE,
    )
    done = subprocess.run(command, input=document, capture_output=True, check=True)
    assert done.stdout == b"None\n"


def test_debian_s_tools_read_its_changelog(unpacked: Path, tmp_path: Path) -> None:
    text = gzip.decompress(_below(unpacked, f"{DOCUMENTS}/changelog.Debian.gz").read_bytes())
    (tmp_path / "changelog").write_bytes(text)
    command = ("dpkg-parsechangelog", "--file", str(tmp_path / "changelog"), "--all")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert f"Version: {__version__}-1" in done.stdout.splitlines()


def test_it_has_the_licence_of_every_library(unpacked: Path) -> None:
    text = _below(unpacked, f"{DOCUMENTS}/copyright").read_text()
    for path in _below(unpacked, LIBRARIES).iterdir():
        if path.name != "__pycache__":
            assert f"{path.name.removesuffix('.py')}*" in text


def test_man_reads_its_pages(unpacked: Path) -> None:
    pages = sorted(_below(unpacked, "/usr/share/man").rglob("*.gz"))
    assert [page.name for page in pages] == [
        "graviton-agent.1.gz", "graviton-agent.toml.5.gz", "graviton-agent.service.8.gz",
    ]  # fmt: skip
    for page in pages:
        text = subprocess.run(("zcat", str(page)), capture_output=True, check=True).stdout
        done = subprocess.run(
            ("groff", "-man", "-Tutf8", "-ww", "-z"), input=text, capture_output=True, check=True
        )
        assert done.stderr == b""


@pytest.mark.parametrize("name", ["amd64.deb", "arm64.deb"])
def test_lintian_finds_no_error(packages: dict[str, Path], name: str) -> None:
    command = ("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", "--allow-root")
    done = subprocess.run((*command, str(packages[name])), capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["x86_64.rpm", "aarch64.rpm"])
def test_rpmlint_finds_no_error(packages: dict[str, Path], name: str) -> None:
    configuration = Path(__file__).parents[2] / "packaging" / "rpmlint.toml"
    command = ("rpmlint", "--config", str(configuration), str(packages[name]))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "0 errors, 0 warnings" in done.stdout


def test_the_rpm_owns_all_of_its_folders(packages: dict[str, Path]) -> None:
    command = ("rpm", "--query", "--list", "--package", str(packages["x86_64.rpm"]))
    listed = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    for path in listed:
        folder = str(Path(path).parent)
        if folder.startswith(OWN_FOLDERS):
            assert folder in listed
