# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/distkvm and the tests are made of: nodes, clusters, guests."""
