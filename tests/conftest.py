"""What holds for all tests."""

import os
import signal

from hypothesis import settings

# Tests assert no timings: a machine may be busy. The blob lets a failure of CI be replayed elsewhere.
settings.register_profile("graviton-agent", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("graviton-agent")

# What a shell starts in the background ignores SIGINT, and so would the children that tests send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
