"""Where the agent's own files stand on a host, as its packages and units put them there."""

SERVICE = "graviton-agent.service"
GATE = "graviton-agent-calibrate@.service"
"""Waits for a unit's calibration; the instance is the unit's name as it is, which needs no escape there."""
CHECK = "graviton-agent-check@.service"
"""Withdraws a stale environment file before a unit's start; the instance is the unit's name as it is. Its
programs are in /usr/lib/graviton-agent, which holds the folders `agent` and `systemd` side by side, as the
source tree does, so that programs find their modules in both."""
WITHDRAW = "graviton-agent-withdraw@.service"
"""Withdraws it where the check has failed; started by that alone."""
QUIET = "graviton-agent-quiet@.service"
"""Calibrates a unit when the host is quiet; the instance is the unit's name as it is."""

FOLDER = "graviton-agent"
"""The name of the agent's folder in each of the folders below."""
CONFIGURATION_BASES = ("/etc", "/run", "/usr/local/lib", "/usr/lib")
"""Where configuration is looked for; earlier ones win [systemd man/standard-conf.xml]."""
ENVIRONMENT = "/run/graviton-agent/environment"
"""The folder of the environment files, which the daemon alone writes."""
CALIBRATED = "/run/graviton-agent/calibrated"
"""The folder of the marks by which a gate opens without starting anything."""
GATES = "/run/graviton-agent/gates"
"""The folder where gates keep how much of their time is used up; it lasts as long as the boot does."""
LOCKS = "/run/graviton-agent/locks"
"""The folder of the lock by which root runs one calibration at a time; nobody else may enter it."""
STATE = "/var/lib/graviton-agent"
"""The folder of what outlasts a boot: profiles, records, and the lock of who writes. It is root's alone."""
