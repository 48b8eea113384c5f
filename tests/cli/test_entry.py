"""How the daemon is kept small where that is possible, and right everywhere."""

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "agent"


def told(script: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\nfrom graviton_agent.cli import entry\n{script}"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert ran.stderr == ""
    return ran.stdout.strip()


HASH = "import hashlib; print(hashlib.sha256(b'').hexdigest()[:8], sys.modules.get('_hashlib') is not None)"


def test_hashes_are_pythons_own_where_it_has_them() -> None:
    assert told(f"entry._without_openssl()\n{HASH}") == "e3b0c442 False"


@pytest.mark.parametrize("missing", ["_sha2" if sys.version_info >= (3, 12) else "_sha256", "_md5"])
def test_hashes_are_openssls_where_python_has_no_others(missing: str) -> None:
    without = f"sys.modules['{missing}'] = None\nentry._without_openssl()\n"
    assert told(f"{without}{HASH}") == "e3b0c442 True"
