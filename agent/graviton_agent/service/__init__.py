"""The daemon: keeps the environment files true, and has units calibrated. Small, and nearly always asleep."""
