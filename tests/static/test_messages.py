# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/troubleshooting.rst has an entry for each message that an operator meets.

An entry is a term of a definition list: parts of messages in ``literals``, in
which "..." stands for anything.  Messages are the texts of calls that report;
errors of a cluster file say their remedy themselves, and need no entry."""

import ast
import re

from distkvm.common import TOP, Problem
from naming import named

DOCUMENT = TOP / 'docs' / 'troubleshooting.rst'
TERM = re.compile(r'^(``.*)\n +\S', re.M)
LITERAL = re.compile(r'``(.+?)``')
# Calls of C whose first text is a message.  A hint follows its error.
REPORTS = re.compile(
    r'\b(?:error_setg|error_setg_errno|error_report|warn_report|info_report|'
    r'say_error|say_warning|say_info|say_refusal|say_limited|error_prepend|'
    r'lane_break)\s*\(')
# Reasons for which a node is refused, or lost, are texts of these files.
REASONS = re.compile(r'(?:\breturn|\bg_strdup_printf\()\s*(?=")')
REASON_FILES = ('accel/distkvm/cluster', 'accel/distkvm/machine/reset.c',
                'accel/distkvm/machine/runstate.c')
SAID = {'Problem', 'Failed', 'HostProblem', 'Untried'}
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|\bPRI\w+\b|(\?)')
STATEMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^;"])*')
PLACE = re.compile(r'%[-+ 0#]*[\d.*]*(?:ll|l|z|h)*[a-zA-Z]|%$|…')
OURS = ('accel/distkvm', 'hw/vdma-cluster', 'hw/vpci-cluster')
VERBS = ('check', 'console', 'cpu_baseline', 'keys', 'logs', 'report',
         'resize', 'status', 'top', 'up', 'xml')
MODULES = ('cluster_command', 'cluster_file', 'cpu_describe', 'keys',
           'libvirt', 'common', 'kernel/kallsyms')
# Words in a message of which the rest is another message's.
LETTERS_MIN = 6
# Parts of other messages, and of what the tool says to itself on another host.
INTERNAL = {'no request: …', 'process … of user …a Unix socket'}


def arguments(text, start):
    """The text of a call's arguments, from behind its parenthesis on."""
    depth, at = 1, start
    while depth:
        if text[at] == '"':
            at = re.compile(r'"(?:[^"\\]|\\.)*"').match(text, at).end()
            continue
        depth += {'(': 1, ')': -1}.get(text[at], 0)
        at += 1
    return text[start:at - 1]


def joined(code):
    """The first text of some code, of one part or several."""
    words = ''
    for part in STRING.finditer(code):
        # The rest are texts that fill a place.
        if part.group(2):
            break
        words += 'd' if part.group(1) is None else part.group(1)
    return PLACE.sub('…', words.replace('\\n', ''))


def of_c(text):
    for call in REPORTS.finditer(text):
        yield joined(arguments(text, call.end()))


def reasons(text):
    for start in REASONS.finditer(text):
        yield joined(STATEMENT.match(text, start.end()).group())


def words_of(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return ''.join(map(words_of, node.values))
    if isinstance(node, ast.BinOp):
        return words_of(node.left) + words_of(node.right)
    return '…'


def of_python(text):
    for call in ast.walk(ast.parse(text)):
        if isinstance(call, ast.Call) and \
                getattr(call.func, 'id', None) in SAID:
            # The first word of a HostProblem is a key of the file.
            found = call.args[call.func.id == 'HostProblem':][:1]
            yield from map(words_of, found)


def messages():
    """Pairs of a file and a message."""
    for folder in OURS:
        for path in sorted((TOP / folder).rglob('*.c')):
            for words in of_c(path.read_text()):
                yield path, words
    for name in REASON_FILES:
        path = TOP / name
        for each in sorted(path.glob('*.c')) if path.is_dir() else [path]:
            for words in reasons(each.read_text()):
                yield each, words
    tool = TOP / 'python' / 'distkvm'
    paths = [*sorted((tool / 'operate').glob('*.py')),
             *sorted((tool / 'report').glob('*.py')),
             *(tool / 'cli' / f'{name}.py' for name in VERBS),
             *(tool / f'{name}.py' for name in MODULES)]
    for path in paths:
        for words in of_python(path.read_text()):
            yield path, words


def needs_entry(words):
    own = re.sub(r'\b(distkvm|node)\b|[^a-zA-Z]', '', words)
    return len(own) >= LETTERS_MIN and words not in INTERNAL


def pattern(literal):
    return re.compile('.*'.join(map(re.escape, literal.split('...'))), re.S)


def stems():
    return [literal for term in TERM.findall(DOCUMENT.read_text())
            for literal in LITERAL.findall(term)]


@named('static: troubleshooting has each message')
def test_messages():
    found = {}
    for path, words in messages():
        if needs_entry(words):
            found.setdefault(words, path)
    patterns = {stem: pattern(stem) for stem in stems()}
    missing = [f'{path.relative_to(TOP)}: {words}'
               for words, path in found.items()
               if not any(p.search(words) for p in patterns.values())]
    useless = [stem for stem, p in patterns.items()
               if not any(p.search(words) for words in found)]
    if missing or useless:
        raise Problem('\n'.join(
            ['docs/troubleshooting.rst has no entry for', *missing,
             'and these entries are of no message', *useless]))
    # The search has not become blind.
    assert len(found) > 150


@named('static: messages are found in sources')
def test_search():
    """The search itself: places, texts in parts, and those that fill places."""
    text = '''error_setg(errp, "distkvm: a=%s is \\"x\\" (%" PRIu64 ")"
        " or %d", f("y"), n);
        warn_report("b %s c", n ? "d" : "e"); no_report("z");
        say_limited(&limit, "f %u", n);'''
    first, second, third = of_c(text)
    assert first.startswith('distkvm: a=… is \\"x\\" (…) or …')
    assert second == 'b … c'
    assert third == 'f …'
    text = 'raise Problem(f"a {b} c" "d")\nHostProblem("key", "e", "f")\ng("h")'
    assert list(of_python(text)) == ['a … cd', 'e']
    assert pattern('a ... d').search('x a b c d')
    assert not pattern('a.c').search('abc')
