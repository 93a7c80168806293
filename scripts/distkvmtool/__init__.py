# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests, and what runs them."""
