# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests with nodes have in common."""

import contextlib

import pytest

from distkvm.cluster import Cluster
from distkvm.common import BUILD


@pytest.fixture
def clusters():
    """Makes a cluster with a shape, the name of its logs, and what goes before
    the commands of nodes; it ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda shape, name, prefix=None: stack.enter_context(
            Cluster(shape, BUILD / 'log' / name, prefix))
