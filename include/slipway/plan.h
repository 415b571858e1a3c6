/*
 * plan: what slipway-init executes, as length-prefixed binary with a version.
 *
 * One encoder (the daemon's runners) and one decoder (slipway-init) share this
 * file. Freestanding (libc only). The daemon hands it over in a memfd (local) or a
 * file (Docker) that init empties after reading; an empty plan means "already ran".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC 0x50574c53u /* "SLWP" */
#define PLAN_VERSION 1
#define PLAN_MAX (16u << 20)
#define PLAN_STEPS_MAX 200
#define PLAN_ENV_MAX 1024
#define PLAN_MASKS_MAX 256

/* How slipway-init ends, the verdict of the attempt. Steps cannot forge it. */
enum init_exit {
	INIT_EXIT_SUCCESS = 0,
	INIT_EXIT_FAILURE = 1,	   /* a step failed */
	INIT_EXIT_STEP_TIMEOUT = 2,
	INIT_EXIT_JOB_TIMEOUT = 3,
	INIT_EXIT_CANCELLED = 4,   /* ended on SIGTERM */
	INIT_EXIT_OOM = 5,	   /* a step was killed for memory */
	INIT_EXIT_INTERNAL = 120,  /* init itself could not go on, a note says why */
	INIT_EXIT_ALREADY_RAN = 125,
};

struct plan_env {
	char *name;
	char *value;
	bool file; /* value goes to a 0600 file on the tmpfs, the variable holds its path */
};

struct plan_mask {
	uint8_t *data; /* raw secret; init derives the encoded forms */
	size_t len;
};

#define PLAN_STEP_CONTINUE 1u /* continueOnError */
#define PLAN_STEP_ALWAYS 2u   /* when: always */

struct plan_step {
	char *name;
	char *script;
	char *shell; /* "sh", "bash", or another program that takes -c */
	char *cwd;   /* absolute, inside /workspace */
	struct plan_env *env;
	size_t nenv;
	uint64_t timeout_ms; /* 0: bounded by the job's only */
	uint32_t flags;
};

struct plan {
	uint64_t job_timeout_ms; /* 0: none */
	uint64_t grace_ms;	 /* between TERM and KILL */
	uint64_t log_max;	 /* bytes of output frames, 0: no limit */
	uint64_t memory_max;	 /* RLIMIT_DATA of each process of a step, 0: none */
	uint32_t pids_max;	 /* RLIMIT_NPROC, 0: none */
	bool clear_env;		 /* start from nothing instead of init's own environment */
	char *secrets_dir;	 /* tmpfs directory for file secrets and $SLIPWAY_ENV */
	struct plan_env *env;	 /* the daemon's, then the job's; later ones win */
	size_t nenv;
	struct plan_mask *masks;
	size_t nmasks;
	struct plan_step *steps;
	size_t nsteps;
};

/* malloc'ed bytes in *out, *len; false when memory is out or over PLAN_MAX. */
bool plan_encode(const struct plan *p, uint8_t **out, size_t *len);
/* False when the bytes are no plan of this version within its limits; *why then
 * names what is wrong (static text). On success release with plan_clear(). */
bool plan_decode(struct plan *p, const uint8_t *data, size_t len, const char **why);
/* Frees and wipes what the plan owns; the struct itself stays the caller's. */
void plan_clear(struct plan *p);
