"""Feature matching by graph attention, iterated (IMP, EIMP)."""
