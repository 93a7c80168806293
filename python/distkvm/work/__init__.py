# SPDX-License-Identifier: GPL-2.0-or-later
"""Real work in a Debian guest: its disk, what it runs, and what it waited for."""
