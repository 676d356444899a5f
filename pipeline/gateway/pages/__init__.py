"""Pages that links in messages lead to: no login, no script, signed links."""
