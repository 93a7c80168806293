# SPDX-License-Identifier: GPL-2.0-or-later
# Promises of x86, between CPUs that may be on different nodes.
n=$(sed -n 's/.*litmus.n=\([0-9]*\).*/\1/p' /proc/cmdline)
code=$(sed -n 's/.*litmus.code=\([0-9]*\).*/\1/p' /proc/cmdline)
mb=$(sed -n 's/.*litmus.mb=\([0-9]*\).*/\1/p' /proc/cmdline)
guest-check litmus "${n:-10000}" && echo "guest-litmus: memory is right"
guest-check code "${code:-$((${n:-10000} / 10))}" && echo "guest-litmus: code is right"
guest-check sleep "${code:-$((${n:-10000} / 10))}" && echo "guest-litmus: time is right"
if [ -n "$mb" ]; then
	guest-check memory "$mb" && echo "guest-litmus: contents are right"
fi
echo "guest-litmus: end"
