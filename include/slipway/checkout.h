/*
 * checkout: gets a repository's commit into a workspace, through slipway-worker. The
 * contract between engine (caller) and exec.
 *
 * Untrusted bytes (packs, trees, servers) are handled by a helper process per task, with
 * a deadline and rlimits, killed at the end of its patience; the daemon only sees framed
 * messages. Runs in the pool's fetch lane; callbacks come on the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "slipway/conf.h"
#include "slipway/err.h"
#include "slipway/loop.h"
#include "slipway/pool.h"

struct checkouts; /* the module: helper processes, policy */
struct checkout;  /* one request under way */

struct checkout_req {
	const char *repo, *commit, *branch; /* branch may be NULL */
	int depth;	/* 1, or 0 for the full history */
	bool submodules;
	const char *dest;	/* made by the helper: .../workspace/repo */
	bool has_user;		/* under a root daemon: owner of mirror and dest */
	uid_t uid;
	gid_t gid;
	/* Progress, one line of text without newline, already masked of credentials. */
	void (*on_note)(void *arg, const char *text, bool is_error);
	/* Once. err: NULL, or ERR_NOT_FOUND (repository or commit missing), ERR_DENIED
	 * (policy, host key, authentication), ERR_CONNECT, ERR_TIMEOUT, ERR_TOO_LARGE,
	 * ERR_NO_SPACE, ERR_CLOSED (cancelled), else internal. sha is the commit. */
	void (*on_done)(void *arg, const struct err *err, const char *sha);
	void *arg;
};

struct checkouts *checkouts_new(struct loop *l, struct pool *p, const char *state_dir,
				const char *libexec_dir, struct err *e);
void checkouts_free(struct checkouts *c);
/* Policy and limits for requests from now on (copied). */
void checkouts_configure(struct checkouts *c, const struct conf *conf);
/* Everything is copied. Failures, too, come by on_done. */
struct checkout *checkout_start(struct checkouts *c, const struct checkout_req *r);
/* on_done follows soon with ERR_CLOSED (or with a result that was already there). */
void checkout_cancel(struct checkout *k);
/* URL policy, pure: is this repository allowed? ERR_DENIED or ERR_INVALID says why. */
int checkout_check_url(const struct conf *conf, const char *repo, struct err *e);
