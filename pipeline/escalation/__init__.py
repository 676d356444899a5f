"""Steps of an event type: which channel goes when, and when it is not needed any more. Pure."""
