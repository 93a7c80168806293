# SPDX-License-Identifier: GPL-2.0-or-later
"""The grammar of Prometheus' text format, and its conventions for names."""

import re

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf'({NAME})\{{((?:{LABEL},?)*)\}} (\S+)')
# Names end with a base unit, or the thing counted: the conventions say so.
GAUGE_ENDS = ('_bytes', '_seconds', '_ratio', '_info', '_up', '_state',
              '_members')
KINDS = ('gauge', 'counter', 'histogram')


def parsed(text):
    """Samples by name and labels; each family is introduced, and together."""
    assert text.endswith('\n') and '\n\n' not in text
    found, family, kind, helped = {}, None, None, None
    families = set()
    for line in text.splitlines():
        if line.startswith('# HELP '):
            helped = line.split()[2]
            assert helped not in families and line.endswith('.')
            continue
        if line.startswith('# TYPE '):
            family, kind = line.split()[2:]
            assert family == helped and kind in KINDS
            assert family.endswith({'gauge': GAUGE_ENDS, 'counter': '_total',
                                    'histogram': '_seconds'}[kind]), family
            families.add(family)
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        ends = ('_bucket', '_sum', '_count') if kind == 'histogram' else ('',)
        assert name in [family + end for end in ends]
        labels = dict(re.findall(rf'({NAME})="((?:[^"\\]|\\.)*)"', labels))
        assert {'guest', 'node'} <= labels.keys()
        key = (name, *sorted(labels.items()))
        assert key not in found
        found[key] = float(value)
    return found


def of(found, name, **labels):
    """The only sample of this name with these labels, among others."""
    value, = [v for (n, *pairs), v in found.items()
              if n == f'distkvm_{name}' and labels.items() <= dict(pairs).items()]
    return value
