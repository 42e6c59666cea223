"""A Hugging Face model seen as decoder blocks, read from its files one at a time."""
