# SPDX-License-Identifier: GPL-2.0-or-later
# What this guest believes of its NUMA nodes; then wait to be ended.
dmesg | sed -n 's/^.*SRAT: /guest-numa-srat: /p'
for node in /sys/devices/system/node/node*; do
	echo "guest-numa-node: ${node##*node}" \
		"cpus=$(cat "$node/cpulist")" \
		"distance=$(tr ' ' , <"$node/distance")" \
		"kib=$(sed -n 's/.*MemTotal: *//p' "$node/meminfo")"
done
echo "guest-numa: done"
exec sleep 1000000
