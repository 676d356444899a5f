"""Upkeep of the device registry beside what sending tells it."""
