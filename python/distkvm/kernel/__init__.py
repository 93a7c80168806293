# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel of a Linux guest: its symbols, and what its image holds."""
