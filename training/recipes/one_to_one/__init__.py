"""Correspondence classifiers: which matches of two images are right, from their coordinates alone."""
