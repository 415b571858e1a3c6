/*
 * entry: a job that is not final, or not yet known to be: it says where the job is held
 * now. Loop thread only.
 *
 * Records of queued jobs are in the store only; a run holds the records of the job and
 * attempt that it works on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uthash.h>

#include "sched.h"
#include "slipway/engine.h"
#include "slipway/err.h"

struct run;

enum entry_state {
	ENTRY_QUEUEING, /* its insertion, or a retry, is being committed */
	ENTRY_QUEUED,	  /* in sched */
	ENTRY_RUNNING,	  /* has a run */
	ENTRY_LEAVING,  /* the cancel of the queued job is being committed */
};

struct submit_waiter {
	SLIST_ENTRY(submit_waiter) link;
	engine_submit_fn *fn;
	void *arg;
	bool existed;
};
SLIST_HEAD(submit_waiters, submit_waiter);

struct cancel_waiter {
	SLIST_ENTRY(cancel_waiter) link;
	engine_cancel_fn *fn;
	void *arg;
};
SLIST_HEAD(cancel_waiters, cancel_waiter);

struct entry {
	UT_hash_handle hh;
	struct engine *en;
	struct sched_item item;
	struct run *run;
	struct submit_waiters waiters; /* while QUEUEING */
	struct cancel_waiters cancels; /* while LEAVING or RUNNING */
	enum entry_state state;
	uint32_t spec_bytes;
	char *pending_hash; /* of the spec, while it is being inserted */
	char id[];
};

struct entry *entry_find(struct engine *en, const char *id);
struct entry *entry_new(struct engine *en, const char *id, enum entry_state state);
void entry_free(struct entry *en);
static inline struct entry *
entry_of(struct sched_item *it)
{
	return (struct entry *)(void *)((char *)it - offsetof(struct entry, item));
}
/* Into its set, by its record; nobody looks for work yet. */
void entry_put_in_order(struct entry *ent, const struct job *j);
void entry_answer_cancels(struct entry *ent, bool cancelled, const char *reason);
void entry_add_waiter(struct entry *ent, engine_submit_fn *fn, void *arg, bool existed);
/* db_end() callback for an entry whose job was just made queued: into the order, and
 * answers its waiters. */
void entry_on_queued(void *arg, const struct err *err);
