# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of scripts/distkvm, one idea a module."""
