"""Units and their names; currencies are among them."""

import re

_UNITS = """
mm millimeter millimetre, cm centimeter centimetre, m meter metre, km kilometer kilometre
in inch inches, ft foot feet, yd yard, mi mile
mg milligram, g gram gm, kg kilogram, lb pound lbs, oz ounce
ml milliliter millilitre mL, l liter litre L, gal gallon
ms millisecond, s second sec, min minute, h hour hr, day days, week weeks, month months
year years yr, a.m. am AM, p.m. pm PM
$ dollar USD buck, cent cents ¢, € euro EUR, £ GBP, ¥ yen JPY, ₹ rupee INR
penny pennies, pence pence, peso pesos, yuan CNY, franc CHF, nickel nickels, dime dimes
N newton, J joule, W watt, V volt, Pa pascal, Hz hertz
K kelvin, degC celsius, degF fahrenheit, mph mph, rad radian radians
"""
SYNONYMS = {unit: names for unit, *names in map(str.split, re.split(r"[,\n]", _UNITS.strip()))}
"""Other names of each unit; the plural with s need not be among them."""
KNOWN = {
    form: unit
    for unit, names in SYNONYMS.items()
    for name in (unit, *names)
    for form in (name, f"{name}s")
} | {"in": "in", "Nm": "N m", "kWh": "kWh"}
BARE = {name for name in KNOWN if len(name) > 1} | {"N"}
"""What may follow a number without a font command: one letter could be a variable."""
_NOT_UNITS = frozenset(
    {"hundred", "thousand", "million", "billion", "trillion", "dozen", "half", "percent", "pi"}
    | {"or", "and", "mod", "where", "with", "for", "if", "is", "not", "to"}
    | {"sin", "cos", "tan", "log", "ln", "exp", "sqrt", "frac", "infinity", "inf"}
)
_SI = re.compile(
    r"[fpnmcdhkMGT]?(?:m|g|s|A|K|mol|N|J|W|V|Pa|Hz|C|T|F|Wb|L|l|eV|bar|cal|B|Bq)|Wh|atm|rpm|torr|mmHg"
)
"""Symbols whose case counts; not H, which is read as hours."""
CURRENCIES = frozenset(("$", "cent", "€", "£", "¥", "₹"))

TEXT = r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|hbox)\s*"
WORD = re.compile(r"[a-zA-Z]+")
_COMMAND = re.compile(rf"{TEXT}|\\rm|\\cdot|[{{}}().,*\s]+")
_AMERICAN = re.compile(r"\bU\.?S\.?\s+(?=dollar|cent)")
_DIVISOR = re.compile(r"/\s*\(\s*([^()]*?)\s*\)")
_TOKEN = re.compile(r"\^\s*-?\d+|/|[^\s/^]+")
_AHEAD = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}
_BEHIND = {"squared": "2", "cubed": "3"}


def canonical(unit: str) -> str | None:
    """Return the unit's usual name, as ``m / s^2``; None for words that are no unit."""
    if (half_day := "".join(WORD.findall(_COMMAND.sub("", unit))).lower()) in ("am", "pm"):
        return f"{half_day[0]}.m."
    unit = _AMERICAN.sub("", unit)
    divided = _DIVISOR.sub(lambda group: " / ".join(["", *_COMMAND.split(group[1])]), unit)
    tokens = _TOKEN.findall(_COMMAND.sub(" ", divided))
    if not tokens or any(token.lower() in _NOT_UNITS for token in tokens):
        return None
    over: list[str] = []
    under: list[str] = []
    factors, ahead = over, ""
    for index, token in enumerate(tokens):
        power = token.strip("^ ")
        if token.lower() in _AHEAD and index + 1 < len(tokens):
            ahead = _AHEAD[token.lower()]
        elif token in ("/", "per"):
            factors = under
        elif token[0] != "^" and token.lower() not in _BEHIND:
            factors.append(_usual_name(token) + (f"^{ahead}" if ahead else ""))
            factors, ahead = over, ""
        elif over or under:
            last = under if tokens[index - 2 : index - 1] in (["/"], ["per"]) else over
            power = _BEHIND.get(token.lower(), power)
            moved = last.pop() if last else ""
            (under if power[0] == "-" else last).append(_raised(moved, power.removeprefix("-")))
    if all(map(is_known, over)):
        over.sort()
    return " ".join([*over, *(["/", *sorted(under)] if under else [])]) or None


def _raised(name: str, power: str) -> str:
    return name if power == "1" else f"{name}^{power}"


def _usual_name(word: str) -> str:
    if word not in KNOWN and is_symbol(word):
        return word
    return KNOWN.get(word) or KNOWN.get(word.lower()) or word.lower()


def is_symbol(word: str) -> bool:
    """Whether a word is the symbol of an SI unit, or of one used with them."""
    return bool(_SI.fullmatch(word))


def is_known(unit: str) -> bool:
    """Whether a canonical unit is known, so that another known one is another unit."""
    parts = [part.partition("^")[0] for part in unit.split()]
    return parts[:1] in (["base"], ["mod"]) or all(
        part in SYNONYMS or part == "/" or is_symbol(part) for part in parts
    )
