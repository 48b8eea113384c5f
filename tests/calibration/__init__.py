"""Workers, their pool, the probe, and what decides on their samples."""
