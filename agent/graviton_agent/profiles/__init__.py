"""What a calibration found for a unit, kept under all that it depends on, and what follows from it now."""
