"""The desktop studio: label, launch, inspect. Never imports torch."""
