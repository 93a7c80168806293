# SPDX-License-Identifier: GPL-2.0-or-later
"""The library of scripts/distkvm and of the tests: nodes, clusters, guests."""
