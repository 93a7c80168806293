# SPDX-License-Identifier: GPL-2.0-or-later
"""Talks with a node, as a stranger or as a member that is no QEMU."""
