"""ssgr: prune large reasoning models on their own correct, hard, medium-length reasoning."""
