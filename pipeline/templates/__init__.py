"""Templates of every channel: sandboxed Jinja2, MJML for mail, compiled once when a process starts.

Layout: ``<templates>/<name>/<locale>/<part>``, or ``<name>@<version>``; the parts of each channel are
`pipeline.templates.layout.PARTS`.
"""
