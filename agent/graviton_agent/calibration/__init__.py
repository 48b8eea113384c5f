"""Measuring and deciding: the worker, trials, schedule, noise, statistics and the decision."""
