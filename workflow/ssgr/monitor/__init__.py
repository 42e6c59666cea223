"""Before and during a run: what it will take, and how far it is."""
