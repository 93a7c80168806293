# SPDX-License-Identifier: GPL-2.0-or-later
"""Clusters of a cluster file, started and watched on one host or several."""
