"""The ``pipeline`` command: one module a command or group; `pipeline.cli.root` puts them together."""
