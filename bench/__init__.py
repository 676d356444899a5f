"""Figures beside their peers, measured in one run on one machine: ``make bench``."""
