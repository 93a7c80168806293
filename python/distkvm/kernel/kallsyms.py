# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbols of a stock kernel, from its own table: Debian's System.map is empty.

kallsyms compresses names: a name is a list of bytes, each of which stands for a
token (scripts/kallsyms.c of Linux).  In kernels up to 6.3 the tables lie in this
order: offsets, relative base, number of symbols, names, markers, tokens, index of
tokens.  The numbers of two tables are checked against the others, so that a kernel
with another order is refused and not misread."""

import lzma
import struct
from bisect import bisect_left, bisect_right

from ..common import Problem

# Of the header of a bzImage (Documentation/arch/x86/boot.rst of Linux).
SETUP_SECTS, MAGIC_AT, PAYLOAD = 0x1f1, 0x202, 0x248
SECTOR = 512
TOKENS = 256
# Symbols between two markers.
MARKED = 256
DIGITS = b''.join(b'%d\0' % n for n in range(10))


def payload(image):
    """The kernel, decompressed, that a bzImage holds."""
    if image[MAGIC_AT:MAGIC_AT + 4] != b'HdrS':
        raise Problem("the guest's kernel is no bzImage")
    sectors = image[SETUP_SECTS] or 4
    offset, length = struct.unpack_from('<II', image, PAYLOAD)
    start = (sectors + 1) * SECTOR + offset
    try:
        return lzma.LZMADecompressor().decompress(image[start:start + length])
    except lzma.LZMAError as error:
        raise Problem(f"the guest's kernel is not compressed with xz: {error}"
                      ) from None


def aligned(offset):
    return (offset + 7) & ~7


def token_table(kernel):
    """Where the tokens begin, and the tokens."""
    at = -1
    while (at := kernel.find(DIGITS, at + 1)) >= 0:
        # Token 48 is the digit 0: as many tokens are before it.
        start = at
        for _ in range(ord('0')):
            start = kernel.rfind(b'\0', 0, start - 1) + 1
        # Padding makes empty tokens of a table that is aligned.
        start = aligned(start) if start % 8 else start
        tokens = kernel[start:start + 64 * TOKENS].split(b'\0')[:TOKENS]
        ends, offsets = 0, []
        for token in tokens:
            offsets.append(ends)
            ends += len(token) + 1
        index = struct.pack(f'<{TOKENS}H', *offsets) \
            if ends < 1 << 16 else None
        if index and kernel[aligned(start + ends):][:len(index)] == index:
            return start, tokens
    raise Problem("the guest's kernel has no table of tokens")


def names_at(kernel, offset, count, tokens):
    """Names from there, their end, and every 256th one's offset; None if there
    are not so many."""
    names, marks, start = [], [], offset
    for number in range(count):
        if number % MARKED == 0:
            marks.append(offset - start)
        if offset + 2 > len(kernel):
            return None
        length = kernel[offset]
        offset += 1
        if length & 0x80:
            length = (length & 0x7f) | kernel[offset] << 7
            offset += 1
        if not length:
            return None
        names.append(b''.join([tokens[b] for b in
                               kernel[offset:offset + length]]))
        offset += length
    return names, offset, marks


def symbols(kernel):
    """(address, type, name) of all symbols, by address."""
    end, tokens = token_table(kernel)
    base = end
    # A table of the size that the number says must end where markers begin.
    while (base := kernel.rfind(b'\xff\xff\xff\xff', 0, base)) >= 0:
        at = base - 4
        if at % 8:
            continue
        relative, count = struct.unpack_from('<QI', kernel, at)
        if not 1 <= count < 1 << 20 or aligned(at - 7 - 4 * count) < 0 or \
                at + 16 + 2 * count > end:
            continue
        found = names_at(kernel, at + 16, count, tokens)
        if not found:
            continue
        names, after, marks = found
        marks = struct.pack(f'<{len(marks)}I', *marks)
        if kernel[aligned(after):][:len(marks)] == marks:
            return decoded(kernel, at, relative, names)
    raise Problem("the guest's kernel has no table of symbols that this reads")


def decoded(kernel, at, relative, names):
    size = 4 * len(names)
    # The table is aligned, and so is the next one.
    start = at - aligned(size)
    offsets = struct.unpack_from(f'<{len(names)}i', kernel, start)
    # Offsets from 0 are of per-CPU symbols, and absolute.
    return sorted((o if o >= 0 else relative - 1 - o,
                   name[:1].decode('latin-1'), name[1:].decode('latin-1'))
                  for o, name in zip(offsets, names))


class Symbols:
    """Search by name and by range."""

    def __init__(self, table):
        self.table = table
        self.addresses = [address for address, _, _ in table]
        self.by_name = {name: address for address, _, name in table}

    def __getitem__(self, name):
        if name not in self.by_name:
            raise Problem(f"the guest's kernel has no symbol {name}")
        return self.by_name[name]

    def at(self, address):
        """The name of the last symbol that begins there or before."""
        place = bisect_right(self.addresses, address) - 1
        return self.table[place][2] if place >= 0 else 'nothing'

    def within(self, start, end):
        """Names that begin in a range, after the one that lasts into it."""
        first = bisect_left(self.addresses, start)
        last = bisect_left(self.addresses, end)
        names = [name for _, _, name in self.table[first:last]]
        if first and self.addresses[first:first + 1] != [start]:
            names.insert(0, self.at(start))
        return names


def of_kernel(path):
    try:
        return Symbols(symbols(payload(path.read_bytes())))
    except (struct.error, IndexError):
        raise Problem(f'{path}: the kernel ends too early') from None
