"""The suppression list as files."""
