# SPDX-License-Identifier: GPL-2.0-or-later
# Disks past the page cache: dma.mib=N of the kernel's command line.
mib=$(sed -n 's/.*dma.mib=\([0-9]*\).*/\1/p' /proc/cmdline)
guest-check dma /dev/vda "$mib"
echo "guest-dma: end"
