"""What belongs to one person: profile, preferences, devices, inbox."""
