/*
 * audit: an append-only account of every request that changes something, the refused
 * ones too. Loop thread only.
 *
 * state_dir/audit.log, mode 0600, one JSON object per line:
 *   {"time", "who", "via", "address", "method", "path", "job"?, "status"}
 * Lines are written by the pool, in order, and synced once per batch. At 16 MiB the file
 * becomes audit.log.1, which becomes .2, up to .4. It is opened anew for each batch, so
 * others may move it as well. While it cannot be written lines wait in memory, up to a
 * limit, and audit_trouble() tells why.
 * Of refusals (401, 403, 429) no more than one a second, with bursts of a hundred, is
 * written: who is refused could otherwise push everything else out. The next line
 * written of one tells of those "suppressed".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "slipway/id.h"
#include "slipway/loop.h"
#include "slipway/netaddr.h"
#include "slipway/pool.h"
#include "slipway/strbuf.h"

#define AUDIT_WHO_MAX 128

struct audit_entry {
	STAILQ_ENTRY(audit_entry) next;
	int64_t time; /* ms since the epoch */
	char who[AUDIT_WHO_MAX + 1];
	bool has_uid; /* who is to be the name of this user */
	uid_t uid;
	const char *via; /* a constant */
	char address[NETADDR_TEXT];
	char method[8];
	char *path; /* malloc'ed */
	char job[JOB_ID_MAX + 1];
	int status;		   /* 0: the client left before the answer */
	uint64_t suppressed, lost; /* audit's own */
};

struct audit;

struct audit *audit_new(struct loop *l, struct pool *p, const char *state_dir);
/* After pool_stop(): writes what is left. */
void audit_free(struct audit *a);
/* Takes the entry, which is malloc'ed. */
void audit_add(struct audit *a, struct audit_entry *en);
void audit_entry_free(struct audit_entry *en);
/* Why nothing can be written now; NULL when all is well. */
const char *audit_trouble(const struct audit *a);
/* The last lines as a JSON array, the newest first. done may come after the audit is
 * gone; text is NULL after an error. */
int audit_read(struct audit *a, unsigned limit,
	       void (*done)(void *arg, const struct strbuf *text,
			    const struct err *err),
	       void *arg, struct err *e);
