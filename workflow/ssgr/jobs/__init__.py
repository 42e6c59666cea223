"""The jobs of a run: the experiment grid, and what is checked before any of them starts."""
