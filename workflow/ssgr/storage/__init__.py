"""Files: table schemas, atomic writes, permissions, locks, and what made a file."""
