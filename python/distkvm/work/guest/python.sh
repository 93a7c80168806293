# SPDX-License-Identifier: GPL-2.0-or-later
# Processes of Python that share work through queues.
. ./lib.sh
[ "$PHASE" != work ] || server python3 pool.py "$CPUS"
