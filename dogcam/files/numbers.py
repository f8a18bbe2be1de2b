"""Numbers in files from elsewhere."""

import math


def finite(value: object, what: str) -> float:
    """Convert a value of a file to a finite float.

    Raises:
        ValueError: if it is not a finite number; the message states `what`.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        # Python also takes digits of other scripts, and "1_0" for 10.
        if isinstance(value, str) and ("_" in value or not value.isascii()):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{what} is {str(value)[:40]!r}; expected a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{what} is {str(value)[:40]!r}; expected a finite number")
    return number
