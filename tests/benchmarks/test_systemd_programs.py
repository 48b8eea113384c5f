"""The benchmark of what systemd waits for still runs; what it measures is asserted nowhere."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_it_times_the_generator_and_the_check_beside_the_bare_interpreter(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "benchmarks/systemd_programs.py", "--units", "3", "--runs", "1"),
            *("--python", sys.executable, "--folder", str(tmp_path)),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": "agent"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "3 managed, 300 others, 3 drop-ins written" in done.stdout
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[-3:]] == [
        "interpreter alone", "generator", "check",
    ]  # fmt: skip
