# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of pages by the symbols of the guest's kernel: of its image only.

The guest's memory is not read for it: a page that another node has would be
taken from that node."""

import re

from ..common import Problem
from ..kernel import kallsyms
from ..kernel.image import PAGE, in_image

# "ffffffff81000000 T _text"
LINE = re.compile(r'([\da-f]{8,16}) (\S) (\S+)')
MAGIC = b'HdrS'


def of_map(text, path):
    """Symbols of a System.map."""
    found = sorted((int(address, 16), kind, name) for address, kind, name in
                   LINE.findall(text))
    symbols = kallsyms.Symbols(found)
    if not {'_text', '_end'} <= symbols.by_name.keys():
        raise Problem(f'{path} has no symbols of a kernel (_text, _end): '
                      "Debian's System.map is empty, give the guest's vmlinuz "
                      'in its place')
    return symbols


def load(path):
    """Symbols of a System.map, or of a kernel as the boot loader has it."""
    try:
        words = path.read_bytes()
    except OSError as error:
        raise Problem(f'{path}: {error.strerror}') from None
    if words[kallsyms.MAGIC_AT:kallsyms.MAGIC_AT + len(MAGIC)] == MAGIC:
        return kallsyms.of_kernel(path)
    return of_map(words.decode('ascii', 'replace'), path)


def name(symbols, page):
    """Of a page of the kernel's image, or None."""
    return in_image(symbols, page * PAGE)
