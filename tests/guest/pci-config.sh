# SPDX-License-Identifier: GPL-2.0-or-later
# The configuration space of all PCI functions, but for lines that are zero.
for f in /sys/bus/pci/devices/*; do
	hexdump -v -e '"%04_ax " 32/1 "%02x" "\n"' $f/config |
		grep -v ' 0*$' | sed "s|^|guest-pci: ${f##*/} |"
done
echo "guest-pci: end"
