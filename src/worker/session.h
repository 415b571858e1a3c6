/*
 * session: one fetch task under way, and what all its repositories (the submodules,
 * too) share.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "out.h"
#include "slipway/giturl.h"
#include "slipway/worker_task.h"

#define SESSION_TREE_FACTOR 4 /* files may be this much larger than their pack */

struct session {
	const struct worker_fetch *task;
	struct giturl_policy policy;
	struct out *out;
	uint64_t files, bytes; /* checked out so far */
	unsigned repositories;
};
