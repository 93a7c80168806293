# SPDX-License-Identifier: GPL-2.0-or-later
"""A page about a cluster that runs."""
