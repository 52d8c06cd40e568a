"""The recipe `scene_cells`: a small network of one scene in minutes, for robots."""
