"""Plants an advantage of bf16 on a machine: its torch computes every fp32 layer several times.

Emulated times say nothing of a real CPU's, so that which setting wins is made up here, and in the
interpreter alone: the agent has no part in it, and no switch for it. What is computed by which kernel, its
bits and its errors stay torch's own.
"""

from tests.graviton.image import venv
from tests.graviton.machine import Machine
from tests.graviton.wheels import PYTHON

REPEATS = 6
# Python reads lines of *.pth files at its start, after Debian's own sitecustomize, which would hide another.
PTH = "import planted\n"
MODULE = f"""
import importlib.machinery
import os
import sys


def install(torch):
    linear = torch.nn.functional.linear

    def forward(layer, x):
        for _ in range({REPEATS}):
            linear(x, layer.weight, layer.bias)
        return linear(x, layer.weight, layer.bias)

    torch.nn.Linear.forward = forward


class AfterTorch:
    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def load_and_change(module):
            load(module)
            install(module)

        spec.loader.exec_module = load_and_change
        return spec


if os.environ.get("DNNL_DEFAULT_FPMATH_MODE") != "BF16":
    sys.meta_path.insert(0, AfterTorch())
"""


def plant(machine: Machine, torch: str) -> None:
    """Changes the interpreter of a torch."""
    packages = f"{venv(torch)}/lib/python{PYTHON}/site-packages"
    machine.write(f"{packages}/planted.py", MODULE)
    machine.write(f"{packages}/planted.pth", PTH)
