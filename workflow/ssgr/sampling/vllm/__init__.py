"""The sampling engine that runs vLLM."""
