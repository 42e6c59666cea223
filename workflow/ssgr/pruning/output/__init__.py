"""What is written of a pruned model: shards, reports, archives; and checks of what was written."""
