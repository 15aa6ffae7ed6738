"""The worker: torch, transformers, accelerate. Never imports Qt, SQL or the studio."""
