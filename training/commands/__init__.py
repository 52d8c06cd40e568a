"""Commands that training adds to `relpose` (entry-point group relpose.commands)."""
