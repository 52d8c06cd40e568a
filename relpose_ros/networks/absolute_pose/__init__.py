"""Absolute pose regression: an image in, six numbers of a pose out. A baseline to compare with."""
