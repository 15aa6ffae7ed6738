"""One file a foreign format, both ways."""
