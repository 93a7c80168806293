# SPDX-License-Identifier: GPL-2.0-or-later
"""One word per idea: words that the glossary retired, and comments in which a
relative clause stands where a noun should."""

import re

COMMENT = re.compile(r'/\*.*?\*/', re.S)
# A line of a comment in Python, the shell, meson or a schema.
HASH = re.compile(r'^ *# (.+)$', re.M)
# "What comes is kept", "to whoever waits", "so many passes".
NOUNLESS = re.compile(
    r'\b[Ww]ho(m?ever)\b|\b[Ww]hatever\b|'
    r'(?:^|[.:;] )(?:Who|What|Whom|who|what) (?!is the\b)|'
    r'\b(?:of|by|to|for|from|than|with|at|as|on|in|that|neither|nor) (?:who|what|whom|why)\b|'
    r'\bso many\b')
# The same at the beginning of a comment, or a clause without a subject.
BEGINS = re.compile(r'(?:What|Who|Whoever|Whatever|Else) ')
ROW = re.compile(r'^   \* - ``(.+?)``\n     - (.+)$', re.M)


def retired(top):
    """Pairs of a pattern and the word to use: a table of the glossary."""
    text = (top / 'docs' / 'glossary.rst').read_text()
    return [(re.compile(pattern), word) for pattern, word in
            ROW.findall(text.partition('Retired words')[2])]


def comments(text, hashes=False):
    """Pairs of a line number and a comment, put on one line."""
    if hashes:
        for match in HASH.finditer(text):
            yield text.count('\n', 0, match.start()) + 1, match.group(1)
        return
    for match in COMMENT.finditer(text):
        flat = re.sub(r'\s*\n\s*\*?\s*', ' ', match.group(0))
        yield text.count('\n', 0, match.start()) + 1, flat.strip('/* ')


def old_words(name, text, patterns):
    for pattern, word in patterns:
        match = pattern.search(text)
        if match:
            line = text.count('\n', 0, match.start()) + 1
            yield f'{name}:{line}: "{match.group(0)}": say {word}'


def check(top):
    """What is wrong with the words of code and documents, a line each."""
    patterns = retired(top)
    if not patterns:
        yield 'docs/glossary.rst has no table of retired words'
    for path in sorted([*(top / 'accel').rglob('*.[ch]'),
                        *(top / 'hw').rglob('*.[ch]'),
                        *(top / 'include').rglob('*.h')]):
        name, text = path.relative_to(top), path.read_text()
        for line, comment in comments(text):
            match = NOUNLESS.search(comment)
            if match:
                yield (f'{name}:{line}: "{match.group(0).strip(" .:;")}" '
                       f'stands for a noun: {comment[:60]}')
        yield from old_words(name, text, patterns)
    for path in sorted([*(top / 'tests').rglob('*.[ch]'),
                        *(top / 'tests').rglob('*.py'),
                        *(top / 'python').rglob('*.py'),
                        *(top / 'accel').rglob('meson.build'),
                        *(top / 'hw').rglob('meson.build')]):
        hashes = path.suffix not in ('.c', '.h')
        for line, comment in comments(path.read_text(), hashes):
            # A line may go on from the last one: its beginning alone counts.
            if path != top / 'python/distkvm/words.py' and \
                    BEGINS.match(comment):
                yield (f'{path.relative_to(top)}:{line}: no noun begins it: '
                       f'{comment[:60]}')
    for path in [top / 'README.rst', *sorted((top / 'docs').glob('*.rst'))]:
        if path.name != 'glossary.rst':
            yield from old_words(path.relative_to(top), path.read_text(),
                                 patterns)
