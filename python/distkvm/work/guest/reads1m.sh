# SPDX-License-Identifier: GPL-2.0-or-later
PATTERN=read BLOCK=1m SECONDS_MAX=15
. ./reads.sh
