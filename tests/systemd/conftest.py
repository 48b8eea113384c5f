"""Containers for the tests of this folder; they skip, and say why, where none can be booted."""

import pytest

from tests.systemd.missing import missing
from tests.systemd.rootfs import RELEASES, Release


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: f"systemd-{release.systemd}")
def release(request: pytest.FixtureRequest) -> Release:
    """Each release of Debian in turn."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    assert isinstance(request.param, Release)
    return request.param
