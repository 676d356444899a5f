"""What is known about one user: shown, and erased."""
