# SPDX-License-Identifier: GPL-2.0-or-later
# Random writes of 4 KiB, and their checksums read back.
. ./lib.sh
case $PHASE in
work) server fio --name=write --filename=/var/tmp/fio --rw=randwrite --bs=4k \
	--size=32m --verify=crc32c --end_fsync=1 --ioengine=psync ;;
finish) rm -f /var/tmp/fio ;;
esac
