# SPDX-License-Identifier: GPL-2.0-or-later
"""To speak to a node as a stranger or as a member that is no QEMU."""
