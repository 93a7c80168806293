# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of HTML pages that need nothing else: no script, no other file."""

from html import escape

# Colours of text and rules, light and dark.
STYLE = '''
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #666; --rule: #ddd;
  --bar: #2f6db3; --bad: #c2513a; --good: #2e7d4f; --back: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #999;
  --rule: #3a3a3a; --bar: #6fa8e0; --bad: #e58a75; --good: #74c596;
  --back: #181818; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink);
  background: var(--back); max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; margin: 1em 0; }
th, td { text-align: left; padding: .25em 1em .25em 0;
  border-bottom: 1px solid var(--rule); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
th, .soft { color: var(--soft); font-weight: normal; }
.problem { color: var(--bad); }
svg { width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; }
'''


def cells(values, head=False):
    """A row of a table; numbers, which come as a tuple of one, to the right."""
    tag = 'th' if head else 'td'
    return '<tr>' + ''.join(
        f'<{tag} class="n">{escape(str(v[0]))}</{tag}>'
        if isinstance(v, tuple) else f'<{tag}>{escape(str(v))}</{tag}>'
        for v in values) + '</tr>'


def table(head, rows):
    return '\n'.join(['<table>', cells(head, head=True),
                      *(cells(row) for row in rows), '</table>'])


def document(title, style, body):
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f'<title>{escape(title)}</title><style>{STYLE}{style}</style>'
            '</head><body>\n' + '\n'.join(body) + '\n</body></html>\n')
