# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of several files here."""

import pytest

from release import Roots


@pytest.fixture(scope='session')
def roots():
    """Root file systems of Debian's releases; they go with the session."""
    with Roots() as found:
        yield found
