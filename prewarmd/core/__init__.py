"""The decisions, pure: no I/O, no clock, no randomness, no logging.

Time arrives as `now` (seconds of a monotonic clock), chance as `jitter` in [0, 1). Read in this
order: `jobs` (what a job can be), `verbs` and `reports` (what a child is asked and answers),
`engine` (what follows what).
"""
