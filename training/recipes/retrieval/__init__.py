"""Image retrieval: NetVLAD, SARE and SFRS (OpenIBL)."""
