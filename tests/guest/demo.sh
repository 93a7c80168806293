# SPDX-License-Identifier: GPL-2.0-or-later
# Work on every CPU, one after another and then all together.
nodes=$(sed -n 's/.*demo.nodes=\([0-9,]*\).*/\1/p' /proc/cmdline)
echo "guest-demo: working"
guest-check each-cpu "$nodes"
guest-check sum && echo "guest-demo: result is right"
echo "guest-demo: worked"
sleep 1
