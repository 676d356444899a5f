"""What our figures stand beside: each a program of its own, doing comparable work the usual way or the shortest way.

Each reads its orders from the environment and prints one JSON object: ``events``, ``seconds``, ``cpu_seconds``.
"""
