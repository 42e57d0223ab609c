"""Seeded worlds that drive the real engine: `python -m tests.simulation --seeds 100`.

`world` is the shell's loop around one engine; `timeline`, `store`, `children`, `memory`, `bucket`,
`telegram`, `clients` and `weather` are what is outside of it; `swarm` is what a seed draws; `life`
is a seed from birth to comparison; `invariants` is what must hold; `peek` is all that looks inside
the engine. `campaign` runs many seeds, `shrink` makes a failing one small, `regressions` keeps it.
"""
