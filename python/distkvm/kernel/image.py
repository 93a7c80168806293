# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of pages of the kernel's image, by its symbols alone."""

PAGE = 4096
# Where the kernel's image is mapped (Documentation/arch/x86/x86_64/mm.rst).
IMAGE_MAP, IMAGE_MAP_END = 0xffffffff80000000, 0xffffffffc0000000
SHOWN = 4


def listed(names):
    """The first of several names, and how many more there are."""
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def symbols_in(symbols, start, changed):
    """The symbols that change; all of the page if none was seen to."""
    if changed:
        names = dict.fromkeys(symbols.at(start + c) for c in changed)
        return f'{listed(list(names))} (changing)'
    return listed(symbols.within(start, start + PAGE))


def in_image(symbols, address, changed=()):
    """Of the kernel's image, but for the part that it frees after it has
    started; None elsewhere."""
    at = address + IMAGE_MAP
    get = symbols.by_name.get
    if not get('_text', 0) <= at < get('_end', 0) or \
            get('__init_begin', 0) <= at < get('__init_end', 0):
        return None
    kind = 'text' if at < get('_etext', 0) else 'data'
    return f'kernel {kind}: {symbols_in(symbols, at, changed)}'
