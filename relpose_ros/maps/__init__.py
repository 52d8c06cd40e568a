"""The map bundle: build, read, edit, merge."""
