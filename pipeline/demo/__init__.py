"""``pipeline demo``: the whole line on one machine, a few thousand events, and the accounts."""
