"""Every nn.Module of the five systems, with its published state-dict names, and nothing else."""
