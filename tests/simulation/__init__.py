"""Seeded worlds that drive the real engine: `python -m tests.simulation --seeds 100`.

`world` is the shell's loop around one engine, `life` a seed from birth to its end, `swarm` what a
seed draws. Outside of the engine are `timeline`, `store` with its `ledger` and `rows`, `children`
with their `transfers` and `memory`, `bucket`, `telegram`, `clients`, and the `weather` over it all.
`invariants` is what must hold; `peek` and `justice` (whose turn was it?) are all that look inside
the engine. `campaign` lives many seeds, `shrink` makes a failing one small, `regressions` keeps it.
`broken` engines, and the `slips` of which `teeth` makes `mutants`, have bugs: is somebody looking?
"""
