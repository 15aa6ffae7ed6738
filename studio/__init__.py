"""The desktop studio: label, launch, inspect. Never imports torch."""

__version__ = "0.1.0"
