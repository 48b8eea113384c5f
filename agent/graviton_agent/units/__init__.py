"""What systemd knows of a unit, and what the agent gives to it: drop-ins and environment files."""
