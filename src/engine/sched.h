/*
 * sched: the order of queued jobs. Memory only, disposable: rebuilt from the store.
 *
 * Items are embedded in the caller's objects. Each distinct requirement set has a tree
 * of its own, ordered by a static key, so a job that nobody can run blocks only its
 * like. The key is the queueing time minus priority times boost: waiting `boost` ms
 * weighs as much as one level, and nothing has to be re-sorted as time passes. Items
 * with a delay wait in a tree of their own, ordered by due time. No clock, no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct sched_item {
	int64_t key;  /* order in its set: smaller goes first */
	uint64_t seq; /* breaks ties: order of acceptance */
	int64_t due;  /* while delayed */
	struct sched_set *set;
	bool delayed, queued;
	uint32_t weight, size; /* treap */
	struct sched_item *left, *right;
};

struct sched_tree {
	struct sched_item *root;
	bool by_due;
};

struct sched_set {
	LIST_ENTRY(sched_set) link;
	struct sched_tree tree;
	unsigned delayed; /* items of this set that wait for their due time */
	void *tag;	  /* the caller's: what this set needs */
	char name[];
};
LIST_HEAD(sched_sets, sched_set);

struct sched {
	struct sched_sets sets;
	struct sched_tree delayed;
	unsigned count;
	void (*free_tag)(void *tag);
};

void sched_init(struct sched *s, void (*free_tag)(void *tag));
/* Forgets all sets; items are the caller's and must not be used with s any more. */
void sched_clear(struct sched *s);
/* The set of that name, made when new (*is_new, tag NULL). Empty sets go away with
 * their last item. */
struct sched_set *sched_set_get(struct sched *s, const char *name, bool *is_new);
/* due 0: at once. */
void sched_add(struct sched *s, struct sched_set *set, struct sched_item *it,
	       int64_t key, uint64_t seq, int64_t due);
void sched_remove(struct sched *s, struct sched_item *it);
/* Best item of a set, or NULL. O(log n). */
struct sched_item *sched_head(const struct sched_set *set);
/* Place in its set, from 1; delayed items stand behind all others. O(log n). */
long sched_position(const struct sched *s, const struct sched_item *it);
/* Move what is due by now to its set. Due time of the next delayed item, or 0. */
int64_t sched_release(struct sched *s, int64_t now);
