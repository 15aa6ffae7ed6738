"""Evaluation suites: a prompt, an extraction and a metric each; rows come by input.jsonl."""
