# SPDX-License-Identifier: GPL-2.0-or-later
# The work of the demo, then long work of every CPU alone.
echo "guest-demo: working"
guest-check each-cpu
guest-check sum
echo "guest-demo: worked"
echo "guest-compute: working"
guest-check compute 10000000
echo "guest-compute: worked"
