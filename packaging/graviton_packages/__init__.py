"""Builds the agent's deb and rpm packages, and repositories of them; the agent itself knows nothing of it."""
