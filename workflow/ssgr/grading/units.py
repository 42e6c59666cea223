"""Units and their names; currencies are among them."""

import re

SYNONYMS = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "mg": "milligram",
    "g": "gram gm",
    "kg": "kilogram",
    "lb": "pound lbs",
    "oz": "ounce",
    "ml": "milliliter millilitre mL",
    "l": "liter litre L",
    "gal": "gallon",
    "ms": "millisecond",
    "s": "second sec",
    "min": "minute",
    "h": "hour hr",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years yr",
    "$": "dollar USD buck",
    "cent": "cents ¢",
    "€": "euro EUR",
    "£": "GBP",
    "¥": "yen JPY",
    "₹": "rupee INR",
    "penny": "pennies",
    "pence": "pence",
    "peso": "pesos",
    "yuan": "CNY",
    "franc": "CHF",
    "nickel": "nickels",
    "dime": "dimes",
    "N": "newton",
    "J": "joule",
    "W": "watt",
    "V": "volt",
    "Pa": "pascal",
    "Hz": "hertz",
    "K": "kelvin",
    "degC": "celsius",
    "degF": "fahrenheit",
    "mph": "mph",
    "rad": "radian radians",
    "a.m.": "am AM",
    "p.m.": "pm PM",
}
KNOWN = {
    form: unit
    for unit, names in SYNONYMS.items()
    for name in (unit, *names.split())
    for form in (name, f"{name}s")
} | {"in": "in"}
BARE = {name for name in KNOWN if len(name) > 1} | {"N"}
"""What may follow a number without a font command: one letter could be a variable."""
_NOT_UNITS = frozenset(
    {"hundred", "thousand", "million", "billion", "trillion", "dozen", "half", "percent", "pi"}
    | {"or", "and", "mod", "where", "with", "for", "if", "is", "not", "to"}
    | {"sin", "cos", "tan", "log", "ln", "exp", "sqrt", "frac", "infinity", "inf"}
)
_SI = re.compile(
    r"[fpnmcdhkMGT]?(?:m|g|s|A|K|mol|N|J|W|V|Pa|Hz|C|T|F|Wb|L|l|eV|bar|cal|B|Bq)|atm|rpm|torr|mmHg"
)
"""Symbols whose case counts; not H, which is read as hours."""
CURRENCIES = frozenset(("$", "cent", "€", "£", "¥", "₹"))

TEXT = r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|hbox)\s*"
WORD = re.compile(r"[a-zA-Z]+")
_COMMAND = re.compile(rf"{TEXT}|\\rm|\\cdot|[{{}}\s^.,]+")


def canonical(unit: str) -> str | None:
    """Return the unit's usual name; None for words that are no unit."""
    if (half_day := "".join(WORD.findall(_COMMAND.sub("", unit))).lower()) in ("am", "pm"):
        return f"{half_day[0]}.m."
    words = _COMMAND.sub(" ", unit).replace("/", " / ").split()
    if not words or any(word.lower() in _NOT_UNITS for word in words):
        return None
    power = unit.rpartition("^")[2].strip(" {}") if "^" in unit else ""
    words = [word for word in words if word != power]
    for word, exponent in (("square", "2"), ("sq", "2"), ("cubic", "3"), ("cu", "3")):
        if len(words) > 1 and words[0].lower() == word:
            words, power = words[1:], exponent
    known = [_usual_name(word) for word in words]
    name = " ".join("/" if word == "per" else word for word in known)
    if not name:
        return None
    return f"{name}^{power}" if power else name


def _usual_name(word: str) -> str:
    if word not in KNOWN and is_symbol(word):
        return word
    return KNOWN.get(word) or KNOWN.get(word.lower()) or word.lower()


def is_symbol(word: str) -> bool:
    """Whether a word is the symbol of an SI unit, or of one used with them."""
    return bool(_SI.fullmatch(word))


def is_known(unit: str) -> bool:
    """Whether a canonical unit is known, so that another known one is another unit."""
    parts = unit.partition("^")[0].split()
    return parts[:1] in (["base"], ["mod"]) or all(
        part in SYNONYMS or part == "/" or is_symbol(part) for part in parts
    )
