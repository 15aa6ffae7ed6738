"""The guided tour: the real window driven by key presses."""
