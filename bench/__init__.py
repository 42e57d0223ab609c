"""Measurements: `make bench`, or `python -m bench NAME...`. No test asserts a figure of these."""
