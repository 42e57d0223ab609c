"""Foreign clients against the sandbox: `make conformance`."""
