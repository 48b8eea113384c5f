"""What holds for all tests."""

from hypothesis import settings

# Tests assert no timings: a machine may be busy. The blob lets a failure of CI be replayed elsewhere.
settings.register_profile("graviton-agent", deadline=None, print_blob=True)
settings.load_profile("graviton-agent")
