# SPDX-License-Identifier: GPL-2.0-or-later
# Goes on to the system on the first virtio disk.
mount -t ext4 /dev/vda /mnt
for directory in proc sys dev; do
	mount --move "/$directory" "/mnt/$directory"
done
exec switch_root /mnt /sbin/init
