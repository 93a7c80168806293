# SPDX-License-Identifier: GPL-2.0-or-later
# Nothing at all, until somebody outside ends it.
exec sleep 1000000
