"""A process pool for heavy CPU work of the app."""
