"""What torch runs in units that were given a variable by hand: which kernels, and how exact they are.

No agent has a part in it: it shows that what the catalogue says of the variables is so, and that systemd's
environment is all that it takes.
"""

from typing import NamedTuple

from graviton_agent.calibration.proof import BF16_ERROR
from graviton_agent.calibration.worker import kernels_in
from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.dispatch.claims import BF16_ATTRIBUTE, BF16_KERNEL, FP32_ERROR, FP32_KERNEL
from tests.graviton.image import RELEASES, python_of
from tests.graviton.instance import C6G, C7G
from tests.graviton.machine import Machine
from tests.graviton.serving import BF16, MIN_DIM, said_by

PROGRAM = "/opt/products.py"
THRESHOLD = 64
OWN_THRESHOLD = 8
"""Up to which torch leaves fp32 products to OpenBLAS by itself on these cores [docs/settings.md]."""
BATCHES = (OWN_THRESHOLD, OWN_THRESHOLD + 1, THRESHOLD, THRESHOLD + 1)
# oneDNN's log goes through the buffer of C's standard output, of which Python knows nothing.
PRODUCTS = """
import ctypes
import sys
import torch

torch.set_grad_enabled(False)
torch.manual_seed(0)
layer = torch.nn.Linear(256, 256).eval()
for batch in map(int, sys.argv[1:]):
    x = torch.rand(batch, 256)
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        y = layer(x)
    ctypes.CDLL(None).fflush(None)
    exact = torch.nn.functional.linear(x.double(), layer.weight.double(), layer.bias.double())
    print(f"error {float((y - exact).norm() / exact.norm()):.1e}", flush=True)
"""
UNIT_FILE = """[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
Environment={variables}
ExecStart={python} {program} {batches}
"""


class Case(NamedTuple):
    """A unit, and what it has to show."""

    words: str
    torch: str
    variables: dict[str, str]
    kernel: str
    above: int
    """The largest batch that is left to OpenBLAS."""

    @property
    def unit(self) -> str:
        """Its name."""
        return f"{self.words.replace(' ', '-')}-{self.torch}.service"

    @property
    def given(self) -> str:
        """Its environment, as an assignment of a unit file."""
        return " ".join(f"{name}={value}" for name, value in self.variables.items())

    def kernels(self, batch: int) -> list[str]:
        """What oneDNN has to run for a batch."""
        return [self.kernel] if batch > self.above else []

    def error(self, batch: int) -> tuple[float, float]:
        """Between what its relative error has to lie."""
        return BF16_ERROR if self.kernels(batch) == [BF16_KERNEL] else (0.0, FP32_ERROR)


def play(bench: Bench, checks: Checks) -> None:
    """A machine with bf16 instructions, and one without."""
    with bench.disk() as disk, bench.boot(disk, C7G) as machine:
        machine.write(PROGRAM, PRODUCTS)
        for torch in RELEASES:
            for case in (
                Case("default", torch, {}, FP32_KERNEL, OWN_THRESHOLD),
                Case("bf16", torch, {BF16: "BF16"}, BF16_KERNEL, OWN_THRESHOLD),
                Case("threshold", torch, {MIN_DIM: str(THRESHOLD)}, FP32_KERNEL, THRESHOLD),
            ):
                _run(case, machine, checks)
    with bench.disk() as disk, bench.boot(disk, C6G) as machine:
        machine.write(PROGRAM, PRODUCTS)
        for torch in RELEASES:
            case = Case("bf16 without its instructions", torch, {BF16: "BF16"}, FP32_KERNEL, OWN_THRESHOLD)
            printed = _run(case, machine, checks)
            with checks.check(f"torch {torch}: oneDNN's log names bf16 there all the same") as check:
                lines = [line for line in printed if ",matmul," in line]
                named = [line for line in lines if BF16_ATTRIBUTE in line]
                check.saw(f"{BF16_ATTRIBUTE} in {len(named)} of {len(lines)} lines")
                assert lines
                assert named == lines


def _run(case: Case, machine: Machine, checks: Checks) -> list[str]:
    """Runs a unit, and returns what it has printed."""
    printed: list[str] = []
    claim = (
        f"torch {case.torch}, {case.words}: {case.kernel} above batch {case.above}, with an error of its size"
    )
    with checks.check(claim) as check:
        text = UNIT_FILE.format(
            variables=case.given,
            python=python_of(case.torch),
            program=PROGRAM,
            batches=" ".join(map(str, BATCHES)),
        )
        machine.add_units({case.unit: text})
        machine.systemctl("start", case.unit)
        printed += said_by(machine, case.unit)
        kernels, errors = _by_batch(printed)
        seen = (
            f"{batch}: {' '.join(kernels[batch]) or 'no oneDNN'}, {errors[batch]:.1e}" for batch in BATCHES
        )
        check.saw(f"{case.given or 'no variable'}; {'; '.join(seen)}")
        for batch in BATCHES:
            least, most = case.error(batch)
            assert kernels[batch] == case.kernels(batch)
            assert least < errors[batch] < most
    return printed


def _by_batch(printed: list[str]) -> tuple[dict[int, list[str]], dict[int, float]]:
    """The kernels and the error of each batch, in the order in which the program takes them."""
    kernels, errors = {}, {}
    rest = printed
    for batch in BATCHES:
        end = next(index for index, line in enumerate(rest) if line.startswith("error "))
        kernels[batch] = kernels_in(rest[:end])
        errors[batch] = float(rest[end].split()[1])
        rest = rest[end + 1 :]
    return kernels, errors
