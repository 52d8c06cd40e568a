"""Mid-level representations of a scene: depth, surface normals or classes from one image."""
