"""The frame around a recipe: events, control, checkpoints, memory."""
