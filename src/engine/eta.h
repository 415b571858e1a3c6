/*
 * eta: how long a queued job will wait, about: from how long the last jobs took, the
 * number of those ahead and of the slots. Loop thread only.
 */
#pragma once

#include <stdint.h>

#include "slipway/db.h"
#include "slipway/job.h"

#define ETA_JOBS 32 /* the last ones that count */

struct eta {
	int64_t took[ETA_JOBS];
	unsigned n, next;
	int64_t sum;
};

/* Start-up: from the last jobs in the store. */
void eta_seed(struct eta *eta, struct db *db);
/* A job has ended; those that were cancelled do not count. */
void eta_note(struct eta *eta, const struct job *j);
/* ms until the job at this position of the queue starts; -1 while nothing is known. */
int64_t eta_of(const struct eta *eta, long position, unsigned slots);
