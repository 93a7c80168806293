# SPDX-License-Identifier: GPL-2.0-or-later
# Tasks on two CPUs wake each other: once to begin with, then to be measured.
guest-check wake 500 >/dev/null
echo "guest-wake: ready"
# The host reads its counters.
sleep 1
guest-check wake 1000 && echo "guest-wake: done"
exec sleep 1000000
