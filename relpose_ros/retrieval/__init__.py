"""Image to global descriptor, nearest references, re-ranking and diversity of neighbours."""
