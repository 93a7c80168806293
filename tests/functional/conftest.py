# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of tests with nodes."""

import contextlib

import pytest

from distkvm.cluster import Cluster
from distkvm.common import BUILD


@pytest.fixture
def clusters():
    """A function that makes clusters: of a shape, the name of its logs, and
    words before the commands of nodes.  They end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda shape, name, prefix=None: stack.enter_context(
            Cluster(shape, BUILD / 'log' / name, prefix))
