"""Our networks, losses, samplers and metrics against the goldens: `make parity`, and test/test_parity.py."""
