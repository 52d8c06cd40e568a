"""Image retrieval benchmarks: images at known positions, queries and a gallery, without camera poses."""
