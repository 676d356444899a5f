"""What an operator does with dead letters: look at them, replay them, drop them."""
