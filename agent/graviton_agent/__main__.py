"""Runs the command line as `python -m graviton_agent`."""

import sys

from graviton_agent.cli.entry import main

sys.exit(main())
