"""Makes an interpreter's torch slower by a known ratio, unless a variable is set. Benchmarks only.

Python runs this at its start when the folder is on PYTHONPATH. It waits until torch is imported, and then
replaces the forward passes of Sequential and Linear:

- A stack of linear layers computes some of its layers twice, and drops the second result. The layers are
  equal, so that n layers of which k are repeated do (n + k) / n of the work. The repetition of a layer stands
  half a pass away from its turn, so that the caches hold as much or as little of its weights each time.
- Each layer multiplies by a copy of its weights, which is exact in the slow process and rounded to bf16 in
  the fast one: the work is the same, and the bits differ as they do under bf16 fast math. Without a
  difference in bits nobody would believe that the variable does anything.

It needs Python 3.8 and torch 2.0, as the worker does.
"""

import importlib.machinery
import os
import sys
from typing import Any, List, Optional, Sequence, Tuple

REPEATS = "PLANTED_REPEATS"
"""How many layers a slow process computes twice; without it torch is left alone."""
FAST = "PLANTED_FAST"
"""Set in processes that repeat nothing: the setting that the calibration is to judge."""

Step = Tuple[Sequence[Any], bool]
"""Modules that follow each other, and whether they are a repetition, whose result is dropped."""


class Repetition:
    """What the replaced forward passes go by."""

    def __init__(self, repeats: int, *, fast: bool) -> None:
        self.repeats = 0 if fast else repeats
        self.rounded = fast

    def install(self, torch: Any) -> None:
        """Replaces the forward passes."""
        linear = torch.nn.functional.linear
        repetition = self

        def linear_forward(layer: Any, x: Any) -> Any:
            if not hasattr(layer, "planted"):
                exact = layer.weight.detach()
                layer.planted = exact.bfloat16().float() if repetition.rounded else exact.clone()
            return linear(x, layer.planted, layer.bias)

        def stack_forward(stack: Any, x: Any) -> Any:
            for modules, dropped in repetition.steps(stack):
                y = x
                for module in modules:
                    y = module(y)
                if not dropped:
                    x = y
            return x

        torch.nn.Linear.forward = linear_forward
        torch.nn.Sequential.forward = stack_forward

    def steps(self, stack: Any) -> List[Step]:
        """The stack's modules in turn, with the repetitions between them."""
        known: Optional[Tuple[int, List[Step]]] = getattr(stack, "planted", None)
        if known is not None and known[0] == self.repeats:
            return known[1]
        flatten, *rest = list(stack)
        layers = [rest[start : start + 2] for start in range(0, len(rest), 2)]
        found: List[Step] = [([flatten], False)]
        count = len(layers)
        for index, layer in enumerate(layers):
            found.append((layer, False))
            if (index + 1) * self.repeats // count > index * self.repeats // count:
                found.append((layers[(index + count // 2) % count], True))
        stack.planted = (self.repeats, found)
        return found


class AfterTorch:
    """Finds torch as everybody does, and sees to it once it is loaded."""

    def __init__(self, repetition: Repetition) -> None:
        self.repetition = repetition

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The specification of torch, whose loader does one thing more."""
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_change(module: Any) -> None:
            load(module)
            self.repetition.install(module)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


PLANTED = Repetition(int(os.environ.get(REPEATS, "0")), fast=FAST in os.environ)
if REPEATS in os.environ:
    sys.meta_path.insert(0, AfterTorch(PLANTED))
