# SPDX-License-Identifier: GPL-2.0-or-later
PATTERN=randread BLOCK=4k SECONDS_MAX=8
. ./reads.sh
