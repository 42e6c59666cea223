"""Arithmetic worked digit by digit, as the model is taught to write it."""

from recipe.stories import Kind

SIGN: dict[Kind, str] = {"add": "+", "take": "-", "times": "*", "share": "/"}


def _digits(value: int) -> list[int]:
    """Return the decimal digits, lowest first."""
    return [int(digit) for digit in reversed(str(value))]


def _add(a: int, b: int) -> list[str]:
    left, right = _digits(a), _digits(b)
    width = max(len(left), len(right))
    parts, carry = [], 0
    for x, y in zip(
        left + [0] * (width - len(left)), right + [0] * (width - len(right)), strict=True
    ):
        total = x + y + carry
        parts.append(f"{x}+{y}+1={total}" if carry else f"{x}+{y}={total}")
        carry = total // 10
    return parts


def _take(a: int, b: int) -> list[str]:
    left, right = _digits(a), _digits(b)
    parts, borrow = [], 0
    for x, y in zip(left, right + [0] * (len(left) - len(right)), strict=True):
        rest = x - y - borrow
        top = x + 10 if rest < 0 else x
        result = rest % 10
        parts.append(f"{top}-{y}-1={result}" if borrow else f"{top}-{y}={result}")
        borrow = int(rest < 0)
    return parts


def _times(a: int, k: int) -> list[str]:
    parts, carry = [], 0
    for x in _digits(a):
        product = x * k
        parts.append(f"{x}*{k}={product}")
        if carry:
            parts.append(f"{product}+{carry}={product + carry}")
        carry = (product + carry) // 10
    return parts


def _share(a: int, k: int) -> list[str]:
    parts: list[str] = []
    rest = 0
    for x in reversed(_digits(a)):
        part = rest * 10 + x
        if part < k and not parts:
            rest = part
            continue
        rest = part % k
        parts.append(f"{part}/{k}={part // k}" + (f"r{rest}" if rest else ""))
    return parts


def worked(kind: Kind, a: int, b: int) -> str:
    """Write the digit-by-digit work of one operation, e.g. ``8+7=15, 3+2+1=6`` for 38 + 27."""
    work = {"add": _add, "take": _take, "times": _times, "share": _share}[kind]
    return ", ".join(work(a, b))


def stated(kind: Kind, a: int, b: int, result: int) -> str:
    """Write one operation as an equation, e.g. ``38+27=65``."""
    return f"{a}{SIGN[kind]}{b}={result}"


def undone(kind: Kind, a: int, b: int, result: int) -> str:
    """Write the inverse operation that checks one, e.g. ``65-27=38``."""
    inverse: dict[Kind, Kind] = {
        "add": "take",
        "take": "add",
        "times": "share",
        "share": "times",
    }
    return f"{result}{SIGN[inverse[kind]]}{b}={a}"


def tens_apart(a: int, b: int) -> tuple[int, int]:
    """Split b into its round part and its last digit, as people add in their heads."""
    return b - b % 10, b % 10
