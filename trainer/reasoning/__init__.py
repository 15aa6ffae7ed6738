"""Pure reasoning about text and figures, torch-free."""
