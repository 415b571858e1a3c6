/*
 * status_cache: answers of GET /jobs/status for jobs that are final, as they were sent.
 * Loop thread only.
 *
 * Such an answer is made of committed records alone, so it holds as long as nothing was
 * committed (db_version()); and after that still, when the ETag made of the records is
 * the one it was sent with. The least recently used ones go when all are too large.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api_view.h"

struct status_cache;

struct status_answer {
	char etag[VIEW_ETAG_MAX];
	const char *body;
	size_t len;
	uint64_t version;
};

struct status_cache *status_cache_new(void);
void status_cache_free(struct status_cache *c); /* NULL is fine */
/* base: of its links. NULL when there is none; valid until the next put. Whoever finds
 * that it still holds, sets its version. */
struct status_answer *status_cache_get(struct status_cache *c, const char *id,
				       const char *base);
/* Takes the place of what was there for this job; copies. */
void status_cache_put(struct status_cache *c, const char *id, const char *base,
		      const struct status_answer *a);
