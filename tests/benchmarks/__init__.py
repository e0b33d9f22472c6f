"""Benchmarks: ratios and counts, never timed assertions."""
