# SPDX-License-Identifier: GPL-2.0-or-later
# Goes on to the system on the first virtio disk, or on root.disk=.
root=$(sed -n 's/.*root\.disk=\([a-z0-9]*\).*/\1/p' /proc/cmdline)
until [ -b "/dev/${root:=vda}" ]; do
	sleep 0.1
done
mount -t ext4 "/dev/$root" /mnt
for directory in proc sys dev; do
	mount --move "/$directory" "/mnt/$directory"
done
exec switch_root /mnt /sbin/init
