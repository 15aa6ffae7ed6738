"""Tests of studio.ui.play that need no window."""
