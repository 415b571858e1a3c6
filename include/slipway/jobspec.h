/*
 * jobspec: the job object as submitted: complete validation, canonical form.
 *
 * jobspec_parse() is the one way in for outside bytes. Every error names the path of
 * the field ("steps[2].env.FOO"); unknown fields and duplicate keys are errors. The
 * canonical JSON (defaults left out, fixed order) is what the store keeps and what
 * idempotency compares. Pure, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/job.h"
#include "slipway/strbuf.h"

#define JOBSPEC_BODY_MAX (1u << 20)
#define JOBSPEC_LABELS_MAX 16
#define JOBSPEC_NAME_MAX 128	/* step names, labels, secret names */
#define JOBSPEC_RUN_MAX (64u << 10)
#define JOBSPEC_ENV_VALUE_MAX (32u << 10)
#define JOBSPEC_TIMEOUT_MAX 2592000 /* s: 30 days; the server's own maximum is conf */

struct env_var {
	char *name, *value;
};

struct secret_ref {
	char *env;  /* variable that receives it */
	char *name; /* in secrets.dir */
	bool file;
};

struct spec_step {
	char *name, *run;
	char *cwd; /* absolute and normalised, inside /workspace */
	char *shell; /* "sh" when not given */
	struct env_var *env;
	size_t nenv;
	struct secret_ref *secrets;
	size_t nsecrets;
	bool continue_on_error, always;
	int64_t timeout_s; /* -1: not given (defaults.step_timeout); 0: the job's */
};

enum spec_network { NETWORK_DEFAULT, NETWORK_NONE, NETWORK_ISOLATED, NETWORK_HOST };

#define RETRY_ON_FAILURE 1u
#define RETRY_ON_TIMEOUT 2u
#define RETRY_ON_INFRA 4u /* the default: infrastructure reasons */

struct jobspec {
	char *id; /* NULL: to be made */
	char *repo, *commit, *branch; /* branch may be NULL */
	struct spec_step *steps;
	size_t nsteps;
	struct env_var *env;
	size_t nenv;
	struct secret_ref *secrets;
	size_t nsecrets;
	char **cache_keys;
	size_t ncache_keys;
	int64_t timeout_s; /* -1: not given */
	int priority;	   /* -1: not given */
	char *image, *runner, *environment;
	char **labels; /* sorted, unique */
	size_t nlabels;
	double cpus;	 /* 0: not given */
	uint64_t memory; /* bytes, 0: not given */
	uint32_t pids, gpus;
	enum spec_network network;
	int depth; /* -1: not given (1); 0: full history */
	bool submodules;
	unsigned retry_on; /* RETRY_ON_*, when has_retry_on */
	bool has_retry_on, has_retry_lost, retry_lost;
	int retry_limit; /* -1: not given */
};

/* Parse and validate. body need not be terminated. NULL on error. Fields of the
 * format that this version cannot honour (cache, artifacts, snapshot, services) are
 * refused by name with ERR_INVALID "not supported yet", never ignored; cacheKeys is
 * accepted. */
struct jobspec *jobspec_parse(const char *body, size_t len, struct err *e);
void jobspec_free(struct jobspec *s);
static inline void
cleanup_jobspec_(struct jobspec **s)
{
	jobspec_free(*s);
}
#define cleanup_jobspec __attribute__((cleanup(cleanup_jobspec_)))

/* Canonical JSON, one line, parseable by jobspec_parse() again. */
void jobspec_to_json(const struct jobspec *s, struct strbuf *out);
/* The requirement set as canonical text, e.g. "labels=gpu,linux;runner=vps;image;
 * network=isolated": equal text = same set. False when it does not fit. */
bool jobspec_needs(const struct jobspec *s, enum spec_network default_network,
		   char *out, size_t size);
const char *jobspec_network_name(enum spec_network n);

/* The set decoded again, for matching runners. */
struct job_needs {
	char labels[JOBSPEC_LABELS_MAX][JOBSPEC_NAME_MAX + 1];
	size_t nlabels;
	char runner[64];
	bool image;
	unsigned gpus;
	enum spec_network network;
};
bool job_needs_parse(struct job_needs *n, const char *text);
