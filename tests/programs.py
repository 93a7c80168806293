# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of scripts/, as modules of a test, which may change them."""

import importlib.machinery
import importlib.util

from distkvm.common import TOP


def script(name):
    """A module of its own with each call; its main program does not run."""
    loader = importlib.machinery.SourceFileLoader(
        name.replace('-', '_'), str(TOP / 'scripts' / name))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module
