"""Provider simulators for tests and for a laptop: strict about what they accept, scriptable in how they fail.

`pipeline.testing.providers.Providers` starts all of them; ``python -m pipeline.testing`` does so in a process of its
own. See ``docs/providers.md`` for a pytest fixture.
"""
