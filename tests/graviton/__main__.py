"""`python -m tests.graviton`: boots machines that look like EC2's, and uses the agent in them.

It builds what is missing, changes nothing outside .cache/graviton and docs/verification.md, and leaves
nothing running. `make test-graviton` is its usual name, which builds the package first.
"""

import argparse
import sys
from pathlib import Path

from tests.graviton.bench import Bench
from tests.graviton.checks import Checks, say
from tests.graviton.ending import end_as_by_ctrl_c
from tests.graviton.image import RELEASES, image
from tests.graviton.kept import PreparationError
from tests.graviton.product import BUILT, Product, packed
from tests.graviton.qemu import Qemu, qemu
from tests.graviton.scenarios import SCENARIOS, Scenario
from tests.graviton.verification import agent_version, keep


def main() -> int:
    """Runs scenarios; returns 1 if a claim of theirs failed, 2 if nothing could be run."""
    arguments = _arguments()
    end_as_by_ctrl_c()
    chosen = [SCENARIOS[name] for name in dict.fromkeys(arguments.scenarios or SCENARIOS)]
    try:
        emulator = qemu()
        say("The first time the machine's image is built, which takes a quarter of an hour.")
        with packed(arguments.package) as product:
            bench = Bench(emulator, image(emulator), product)
            versions = _versions(emulator, product)
            done = [_run(scenario, bench, versions) for scenario in chosen]
    except PreparationError as error:
        say(f"nothing was tested: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted; no machine is left running")
        return 130
    passed, failed = sum(one.passed for one in done), sum(one.failed for one in done)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.graviton", description="The agent on emulated Gravitons."
    )
    parser.add_argument(
        "--package",
        type=Path,
        metavar="DEB",
        default=BUILT,
        help="the arm64 package to install (%(default)s)",
    )
    parser.add_argument(
        "scenarios",
        nargs="*",
        # Without any, it is the empty list that argparse looks for among these.
        choices=[*SCENARIOS, []],
        metavar="SCENARIO",
        help=f"of {', '.join(SCENARIOS)}",
    )
    return parser.parse_args()


def _run(scenario: Scenario, bench: Bench, versions: str) -> Checks:
    """Runs one scenario, and keeps what came of it."""
    checks = Checks(scenario.name)
    say(f"{scenario.name}: {scenario.title}")
    try:
        scenario.play(bench, checks)
    except Exception:
        # The other scenarios are worth their time.
        with checks.check("it comes to its end"):
            raise
    keep(checks, scenario.title, versions)
    return checks


def _versions(emulator: Qemu, product: Product) -> str:
    """With what it is done."""
    agent = f"{agent_version()}{'' if product.is_of_this_tree else f', which uses {product.package}'}"
    return f"QEMU {emulator.version}, Debian 12 arm64, torch {' and '.join(RELEASES)}, {agent}"


if __name__ == "__main__":
    sys.exit(main())
