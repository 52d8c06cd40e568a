"""Posed-image sources: folders, bags, COLMAP models and published datasets, all seen as one `Source`."""
