# SPDX-License-Identifier: GPL-2.0-or-later
# Send to both disks, a shared file and the network, until a node is lost.
ip link set eth0 up
ip address add 10.0.0.2/24 broadcast 10.0.0.255 dev eth0
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /mnt &&
	echo "guest-leak: working"
guest-check leak
