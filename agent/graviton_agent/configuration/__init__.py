"""The operator's configuration: where it stands, what may stand in it, and what it comes to for each unit."""
