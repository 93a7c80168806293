# SPDX-License-Identifier: GPL-2.0-or-later
# Times of a disk on each CPU: dma.rounds=N of the kernel's command line.
rounds=$(sed -n 's/.*dma.rounds=\([0-9]*\).*/\1/p' /proc/cmdline)
guest-check dma-bench /dev/vda "$rounds"
echo "guest-dma-bench: end"
