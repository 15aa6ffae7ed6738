"""Text to pictures: LaTeX and Markdown."""
