# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is let in, what strangers and members can do, and what is noticed."""

from . import (door_again, door_blame, door_damage, door_flood, door_forged,
               door_fuzz, door_keys, door_log, door_loss, door_names,
               door_places, door_start, door_strangers, door_suspend)


def run(results, full):
    for module in (door_strangers, door_keys, door_forged, door_blame,
                   door_damage, door_log, door_loss, door_places, door_names,
                   door_again, door_start, door_suspend, door_fuzz, door_flood):
        module.run(results, full)
