"""The sampling engine that asks OpenAI-compatible servers."""
