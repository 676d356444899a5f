"""Who is calling: API keys of services, tokens of end users."""
