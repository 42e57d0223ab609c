"""Clients to compare, one per file, each with the interface of `base` and each run in a process of
its own by `bench.data.process`: what one imports does not weigh on another."""
