"""What the launcher runs: the agent with the libraries of its package, and none of the host's."""

import sys

sys.path[:0] = ["/usr/lib/graviton-agent/agent", "/usr/lib/graviton-agent/libraries"]

from graviton_agent.cli.entry import main  # noqa: E402 - it is found by the line above

sys.exit(main())
