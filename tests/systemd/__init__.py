"""The test bed for everything that talks to systemd: Debian 12 and 13, booted in containers."""
