"""One file per loss: a function of tensors, and of nothing else."""
