"""What providers tell of messages that they took: the signature first, then everything else."""
