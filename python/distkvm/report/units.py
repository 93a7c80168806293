# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers with their units, and scales that end at a round one."""

import math

BINARY = ('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')
DECIMAL = ((1e9, ' G'), (1e6, ' M'), (1e3, ' k'))
TIMES = ((1, 's'), (1e-3, 'ms'), (1e-6, 'µs'))
STEPS = (1, 2, 2.5, 5, 10)
DIGITS = 3


def digits(value):
    """Three digits that count, without zeroes behind the point."""
    if abs(value) >= 100 or value == 0:
        return f'{value:.0f}'
    places = DIGITS - 1 - math.floor(math.log10(abs(value)))
    text = f'{value:.{min(places, 6)}f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text


def unit_of(value):
    """The binary unit in which a number of bytes is shown, and its bytes."""
    size, power = 1, 0
    while value >= 1024 * size and power < len(BINARY) - 1:
        size, power = size * 1024, power + 1
    return BINARY[power], size


def data(value):
    """A number of bytes."""
    unit, size = unit_of(value)
    return f'{digits(value / size)} {unit}'


def count(value):
    """A number, in thousands and millions where it has more digits."""
    for size, unit in DECIMAL:
        if value >= 10 * size:
            return f'{digits(value / size)}{unit}'
    return digits(value)


def duration(seconds):
    for size, unit in TIMES:
        if seconds >= size:
            return f'{digits(seconds / size)} {unit}'
    return '0' if not seconds else f'{digits(seconds * 1e6)} µs'


def percent(value):
    return f'{digits(value)} %'


def rounded(value, base=10):
    """The least round number that is not below a value: its first digits are
    1, 2, 2.5 or 5."""
    if value <= 0:
        return 1
    power = base ** math.floor(math.log(value, base))
    for step in STEPS:
        if step * power >= value * (1 - 1e-9):
            return step * power
    return base * power


def rounded_data(value):
    """The same in the unit in which it is shown."""
    _, size = unit_of(value)
    return min(rounded(value / size), 1024) * size
