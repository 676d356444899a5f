"""Accepting events, cancelling them, telling what became of them."""
