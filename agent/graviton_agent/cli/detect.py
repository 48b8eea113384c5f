"""`graviton-agent detect`: says what this machine is, and how it knows."""


def detect() -> None:
    """Say which Graviton this machine is."""
