"""`relpose ...`: argument parsing and printing. No mathematics here."""
