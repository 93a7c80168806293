# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of tests, as documents and --only have them: "SUITE: CLAIM".

A test's name is the id of its parameters, so that pytest shows it too."""

import pytest


def cases(arguments, quick, full=None):
    """A test for each name, with these values of its arguments; those of
    `full` run with --full only."""
    return pytest.mark.parametrize(arguments, [
        *(pytest.param(*as_tuple(values), id=name)
          for name, values in quick.items()),
        *(pytest.param(*as_tuple(values), id=name, marks=pytest.mark.full)
          for name, values in (full or {}).items())])


def as_tuple(values):
    return values if isinstance(values, tuple) else (values,)


def named(name):
    """The name of a test that takes no parameters."""
    return pytest.mark.parametrize('test_name', [name], ids=[name],
                                   indirect=True)
