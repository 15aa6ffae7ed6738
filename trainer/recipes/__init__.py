"""One runnable a file, read from top to bottom."""
