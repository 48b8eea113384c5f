"""A file system whose server never answers: who asks for a file waits, as for those of a dead NFS server."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.systemd.container import Container

DEVICE = "/dev/fuse"
LIBC = ctypes.CDLL(None, use_errno=True)
DETACH = 2
"""MNT_DETACH [umount(2)]."""


@contextmanager
def dead_disk(host: Container, folder: str) -> Iterator[None]:
    """Mounts it over a folder of the host; at the end who waits for it is told that the disk is gone."""
    if not Path(DEVICE).exists():
        pytest.skip(f"no {DEVICE} here, so no file system can be made that never answers")
    # Nobody reads the kernel's questions from it.
    server = os.open(DEVICE, os.O_RDWR)
    try:
        host.call(_mount, folder, server)
        yield
    finally:
        os.close(server)
        host.call(_unmount, folder)


def _mount(folder: str, server: int) -> None:
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    if LIBC.mount(b"dead", folder.encode(), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mount")


def _unmount(folder: str) -> None:
    if LIBC.umount2(folder.encode(), DETACH):
        raise OSError(ctypes.get_errno(), "umount2")
