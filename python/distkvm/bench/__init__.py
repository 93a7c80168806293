# SPDX-License-Identifier: GPL-2.0-or-later
"""Benches: each prints ratios, measured in one run."""
