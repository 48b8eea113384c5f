"""What holds for all tests."""

import os

from hypothesis import settings

# Tests assert no timings: a machine may be busy. The blob lets a failure of CI be replayed elsewhere.
settings.register_profile("graviton-agent", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("graviton-agent")
