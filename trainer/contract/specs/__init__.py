"""One frozen dataclass a recipe, a file each: every parameter with its default, range and help for the form."""
