/*
 * reload: a new configuration takes the place of the old one, without holding up the
 * loop: engine_reload() and what follows it. Loop thread only.
 */
#pragma once

#include <stdbool.h>

struct engine;

/* Move some of the queued jobs that are in sets of an old generation. False: there may
 * be more, for the next turn. */
bool reload_slice(struct engine *en);
