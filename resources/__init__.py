"""Icons, a font and the sample workspace that travel with the app."""
