# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether this user may build here, asked before anything is begun."""

import os

from . import build
from .common import BUILD, TOP, Problem

# Of the system, and of nobody in particular.
NOBODY = 65534


def check_rights():
    """Somebody else's tree is of no use: git trusts no other user's, and
    nothing could be built in it."""
    place = BUILD if BUILD.exists() else TOP
    if os.access(place, os.W_OK):
        return
    # A missing package is named first: a copy of the tree needs it too.
    build.install_packages()
    raise Problem(f'you may not write to {place}: copy or clone the '
                  'repository to a directory of your own, and build there; '
                  'the packages that it needs are installed')
