"""Loading models and the step head."""
