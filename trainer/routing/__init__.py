"""Which model answers: difficulty, confidence, escalation, the cache and the ledger."""
