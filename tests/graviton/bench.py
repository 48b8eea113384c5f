"""What every scenario works with: the emulator, the image, the agent, and machines from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.graviton.checks import step
from tests.graviton.image import Image
from tests.graviton.instance import Instance, PlainVirtualMachine
from tests.graviton.machine import CPUS, Clock, Disk, Machine, boot, new_disk
from tests.graviton.product import Product
from tests.graviton.qemu import Qemu


@dataclass(frozen=True)
class Bench:
    """All that has been prepared; nothing of it is changed by a scenario."""

    qemu: Qemu
    image: Image
    product: Product

    @contextmanager
    def machine(
        self,
        instance: Instance | PlainVirtualMachine,
        *,
        clock: Clock = Clock.INSTRUCTIONS,
        cpus: int = CPUS,
    ) -> Iterator[Machine]:
        """A machine with a fresh disk and the agent installed, not started."""
        with self.disk() as disk, self.boot(disk, instance, clock=clock, cpus=cpus) as machine:
            self.install(machine)
            yield machine

    def install(self, machine: Machine) -> None:
        """Installs the agent; it is enabled, and not started."""
        with step("installing the package"):
            self.product.install(machine)

    @contextmanager
    def disk(self) -> Iterator[Disk]:
        """A fresh disk, for a machine that boots more than once."""
        with new_disk(self.qemu, self.image) as disk:
            yield disk

    @contextmanager
    def boot(
        self,
        disk: Disk,
        instance: Instance | PlainVirtualMachine,
        *,
        clock: Clock = Clock.INSTRUCTIONS,
        cpus: int = CPUS,
    ) -> Iterator[Machine]:
        """A machine with a disk that is there already."""
        product = [self.product.disk]
        with boot(self.qemu, disk, instance, clock=clock, cpus=cpus, read_only=product) as machine:
            with step(f"booting a {instance.product}"):
                machine.wait_until_booted()
            yield machine
