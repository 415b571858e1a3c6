/*
 * maintain: what ended attempts leave behind, in the background: logs are sealed,
 * workspaces go to the trash, the trash is emptied. Loop thread only, but for
 * maintain_discard().
 */
#pragma once

#include "slipway/err.h"

struct engine;
struct maintain;

struct maintain *maintain_new(struct engine *en, struct err *e);
void maintain_free(struct maintain *m);
/* Seal and clean what the ended attempts of this job left behind. */
void maintain_add(struct maintain *m, const char *id);
/* Move a directory to the trash; blocking, pool threads. A missing one is fine. */
int maintain_discard(const char *state_dir, const char *path, struct err *e);
