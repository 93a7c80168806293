# SPDX-License-Identifier: GPL-2.0-or-later
"""The tutorial's commands print what the tutorial shows."""

import pytest

from distkvm import guests
from distkvm.common import TOP
from naming import named
from tutorial import follow


@pytest.mark.timeout(600)
@pytest.mark.root('namespaces, and sshd in them')
@named('guest: tutorial: three hosts on one machine')
def test_tutorial(note):
    # The demo, which the reader has run, has fetched it.
    guests.kernel_args()
    note(f"{follow(TOP / 'docs' / 'tutorial.rst')} commands")
