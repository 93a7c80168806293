# SPDX-License-Identifier: GPL-2.0-or-later
# Ask a helper program of the network a hundred times, from all CPUs in turn,
# while all of them share memory.
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
cpus=$(grep -c ^processor /proc/cpuinfo)
guest-check litmus 3000 >/tmp/litmus &
n=0
right=0
while [ $n -lt 100 ]; do
	mask=$((1 << n % cpus))
	if [ "$(echo "forks $n" | taskset $mask nc -w 20 10.0.2.100 80)" = \
	     "forks $n" ]; then
		right=$((right + 1))
	fi
	n=$((n + 1))
done
echo "guest-forks: $right answers are right"
wait
cat /tmp/litmus
