"""The sampling engine for any Hugging Face causal language model."""
