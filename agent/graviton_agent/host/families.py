"""Which Graviton an EC2 instance family has.

Listed are the families whose digit isn't the generation's; the pattern covers the rest, so that a new
family of a known generation needs no release [aws/amazon-vpc-cni-k8s misc/eni-max-pods.txt,
aws/aws-graviton-getting-started README.md].
"""

import re
from typing import NamedTuple

_INSTANCE_TYPE = re.compile(r"([a-z][a-z0-9-]*)\.([a-z0-9-]+)")
_PATTERN = re.compile(r"[a-z]+([6-9])g[a-z]*")
_GRAVITON_1 = frozenset({"a1"})
_GRAVITON_2 = frozenset({"t4g", "x2gd", "g5g", "i4g", "im4gn", "is4gen"})
_GRAVITON_3E = frozenset({"c7gn", "hpc7g"})
_NVIDIA_GRACE = re.compile(r"p6e-.+")
"""GB200: Arm CPUs in EC2 that are not Gravitons."""


class InstanceType(NamedTuple):
    """An EC2 instance type such as "c7gn.16xlarge"."""

    name: str
    family: str

    @property
    def has_nvidia_cpu(self) -> bool:
        """Whether the family's Arm CPU is NVIDIA's."""
        return _NVIDIA_GRACE.fullmatch(self.family) is not None

    @property
    def generation(self) -> int | None:
        """The Graviton generation that the family has; None if it has none or isn't known."""
        if self.family in _GRAVITON_1:
            return 1
        if self.family in _GRAVITON_2:
            return 2
        match = _PATTERN.fullmatch(self.family)
        return int(match[1]) - 4 if match else None

    @property
    def product(self) -> str | None:
        """The processor's name; nothing but the family tells Graviton3E from Graviton3."""
        if self.generation is None:
            return None
        return f"Graviton{self.generation}{'E' if self.family in _GRAVITON_3E else ''}"


def parse_instance_type(product_name: str) -> InstanceType | None:
    """The instance type that EC2 gives as the product name; None if it doesn't have the form of one."""
    match = _INSTANCE_TYPE.fullmatch(product_name)
    return InstanceType(name=product_name, family=match[1]) if match else None
