/*
 * pause: what an admin asked of the queue, as the store keeps it. Loop thread only;
 * the codec is pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slipway/engine.h"
#include "slipway/strbuf.h"
#include "slipway/wire.h"

void pause_encode(const struct engine_hold *h, struct wire_w *w);
/* False: corrupt; *h is open then. */
bool pause_decode(struct engine_hold *h, const void *data, size_t len);
/* Into the open unit. */
void pause_store(struct engine *en, const struct engine_hold *h);
/* Start-up: what was asked for before the restart. */
int pause_load(struct engine *en, struct err *e);
/* "paused by api (unix): disk swap"; "" when open. */
void pause_describe(const struct engine_hold *h, char *out, size_t size);
