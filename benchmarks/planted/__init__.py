"""Calibrations with real worker processes on real torch, in which the true gain is known by construction."""
