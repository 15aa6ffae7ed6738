"""Names of units and what they are in a base unit, as final answers write them."""

from __future__ import annotations

from fractions import Fraction

# Base unit and how many of it: lengths in metres, times in seconds, money in cents, masses in grams, volumes in litres.
UNITS: dict[str, tuple[str, Fraction]] = {
    "cm": ("m", Fraction(1, 100)), "mm": ("m", Fraction(1, 1000)), "km": ("m", Fraction(1000)), "m": ("m", Fraction(1)),
    "inch": ("inch", Fraction(1)), "foot": ("inch", Fraction(12)), "yard": ("inch", Fraction(36)),
    "mile": ("inch", Fraction(63360)),
    "s": ("s", Fraction(1)), "min": ("s", Fraction(60)), "h": ("s", Fraction(3600)), "day": ("s", Fraction(86400)),
    "week": ("s", Fraction(604800)), "month": ("month", Fraction(1)), "year": ("month", Fraction(12)),
    "cent": ("cent", Fraction(1)), "dollar": ("cent", Fraction(100)),
    "mg": ("g", Fraction(1, 1000)), "g": ("g", Fraction(1)), "kg": ("g", Fraction(1000)),
    "oz": ("oz", Fraction(1)), "lb": ("oz", Fraction(16)),
    "ml": ("l", Fraction(1, 1000)), "l": ("l", Fraction(1)),
}  # fmt: skip
ONE = {
    "minutes": "min", "minute": "min", "mins": "min", "hours": "h", "hour": "h", "hrs": "h", "hr": "h",
    "seconds": "s", "second": "s", "secs": "s", "days": "day", "weeks": "week", "months": "month", "years": "year",
    "dollars": "dollar", "cents": "cent", "meters": "m", "metres": "m", "meter": "m", "metre": "m",
    "kilometers": "km", "kilometres": "km", "centimeters": "cm", "centimetres": "cm", "feet": "foot", "ft": "foot",
    "inches": "inch", "in": "inch", "yards": "yard", "miles": "mile", "pounds": "lb", "lbs": "lb", "ounces": "oz",
    "grams": "g", "kilograms": "kg", "kilos": "kg", "liters": "l", "litres": "l", "milliliters": "ml",
}  # fmt: skip
