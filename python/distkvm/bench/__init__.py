# SPDX-License-Identifier: GPL-2.0-or-later
"""What is compared with what: each bench prints ratios of one run."""
