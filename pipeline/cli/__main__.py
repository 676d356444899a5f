"""``python -m pipeline.cli`` is ``pipeline``."""

from pipeline.cli.root import main

main()
