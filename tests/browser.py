# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages as a browser shows them, and as a strict reader does."""

import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from xml.etree import ElementTree

from distkvm.common import Problem

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
SECONDS = 120
# Elements of HTML without an end.
VOID = {'meta', 'br', 'img', 'hr', 'link', 'input'}
SCHEMES = re.compile(r'https?:|url\(|@import|file:')


def browser():
    """The path of one, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Page(HTMLParser):
    """Elements end in the order in which they began, and nothing is fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.words = [], [], []
        self.feed(text)
        if self.open or SCHEMES.search(text) or '<script' in text:
            raise Problem('the page is not whole, or needs something else: '
                          f'{self.open} {SCHEMES.findall(text)}')
        self.pictures = [ElementTree.fromstring(svg) for svg in re.findall(
            r'<svg.*?</svg>', text, re.S)]

    def handle_starttag(self, tag, attrs):
        if {'src', 'href', 'onload', 'onclick'} & {name for name, _ in attrs}:
            raise Problem(f'<{tag}> fetches or does something')
        if tag not in VOID:
            self.open.append(tag)
        if tag == 'table':
            self.tables.append([])
        if tag == 'tr':
            self.tables[-1].append([])
        if tag in ('td', 'th'):
            self.tables[-1][-1].append('')

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            raise Problem(f'</{tag}> ends another element')

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ('td', 'th'):
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return ' '.join(self.words)


def screenshot(page, picture, *options, size=(1100, 1800)):
    """A PNG of the file `page`, by the browser that is there."""
    done = subprocess.run(
        [browser(), '--headless', '--no-sandbox', '--disable-gpu',
         # Containers have little of it.
         '--disable-dev-shm-usage', '--hide-scrollbars', f'--screenshot={picture}',
         f'--user-data-dir={picture}.profile',
         f'--window-size={size[0]},{size[1]}', *options, page.as_uri()],
        check=False, capture_output=True, text=True, timeout=SECONDS,
        stdin=subprocess.DEVNULL)
    shutil.rmtree(f'{picture}.profile', ignore_errors=True)
    if done.returncode or not picture.exists():
        raise Problem(f'{browser()} ended with {done.returncode}: '
                      f'{done.stderr[-2000:]}')


def png_rows(picture):
    """Bytes of a pixel, and the rows of a PNG of 8 bits a colour."""
    data = picture.read_bytes()
    if data[:8] != b'\x89PNG\r\n\x1a\n':
        raise Problem(f'{picture} is no PNG')
    at, packed = 8, b''
    while at < len(data):
        size, kind = struct.unpack_from('>I4s', data, at)
        body = data[at + 8:at + 8 + size]
        if kind == b'IHDR':
            width, _, depth, colours = struct.unpack_from('>IIBB', body)
            if depth != 8 or colours not in (2, 6):
                raise Problem(f'{picture} has other colours')
            pixel = 3 if colours == 2 else 4
        packed += body if kind == b'IDAT' else b''
        at += 12 + size
    raw, line = zlib.decompress(packed), 1 + width * pixel
    return pixel, [raw[n:n + line] for n in range(0, len(raw), line)]


def corner(picture):
    """The colour of the first pixel, which every filter leaves as it is."""
    return tuple(png_rows(picture)[1][0][1:4])


def colours_of(picture):
    """How many colours a PNG has, as its rows are packed: a filter makes more
    of them, and never one of many."""
    pixel, rows = png_rows(picture)
    return len({row[at:at + pixel] for row in rows
                for at in range(1, len(row), pixel)})
