"""One recipe a system: what is trained on what, and how it is tested."""
