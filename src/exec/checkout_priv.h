/*
 * checkout_priv: shared by checkout.c (loop thread) and checkout_work.c (fetch lane).
 *
 * A checkout is referenced by the loop's list and by its work; whoever lets go last
 * frees it, so the module can be freed while work runs. Everything but the atomics is
 * written before the work is submitted and read-only afterwards.
 */
#pragma once

#include <stdatomic.h>
#include <sys/queue.h>

#include "nursery.h"
#include "slipway/checkout.h"

struct checkout_credential {
	char *match, *username, *token_file, *ssh_key_file, *known_hosts_file;
};

/* What checkouts_configure() was given last; immutable, counted. */
struct checkout_settings {
	atomic_uint refs;
	struct conf_strings hosts, roots;
	struct checkout_credential *credentials;
	size_t ncredentials;
	int64_t timeout_ms;
	uint64_t max_bytes, max_objects, memory;
};

struct checkout {
	LIST_ENTRY(checkout) next;
	atomic_uint refs;
	struct checkouts *c;
	struct checkout_settings *settings;
	char *repo, *commit, *branch, *dest, *state_dir;
	uint32_t depth;
	bool submodules;
	struct nursery_user user;
	void (*on_note)(void *arg, const char *text, bool is_error);
	void (*on_done)(void *arg, const struct err *err, const char *sha);
	void *arg;
	atomic_bool cancelled;
	int cancel_fd; /* eventfd, readable once cancelled */
};

enum checkout_event { CHECKOUT_NOTE, CHECKOUT_WARNING, CHECKOUT_DONE };

/* From any thread: call back on the loop, in this order. text: the note, or the sha. */
void checkout_post(struct checkout *k, enum checkout_event what, const char *text,
		   const struct err *err);
void checkout_unref(struct checkout *k);
struct nursery *checkout_nursery(const struct checkout *k);
bool checkout_is_stopping(const struct checkout *k);

/* In the fetch lane: posts the end, drops the work's reference. */
void checkout_work(void *arg);
