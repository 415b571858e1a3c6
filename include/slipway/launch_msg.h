/*
 * launch_msg: what slipwayd and slipway-launch say to each other.
 *
 * A SOCK_SEQPACKET socket, one message per packet, each with magic, version and type:
 *
 *     slipwayd                      slipway-launch
 *     HELLO                    →
 *                              ←    WELCOME   its control group
 *     START   + descriptors    →
 *                              ←    STARTED   pid, + pidfd; or an error
 *     REMOVE  group            →    kill what is in the group, remove it
 *
 * Descriptors travel by SCM_RIGHTS in the order of fds[]. Who speaks another version is
 * hung up on. The codec is pure; what is decoded owns one block of memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/wire.h"

#define LAUNCH_MSG_MAX ((size_t)64 << 10)
#define LAUNCH_MSG_FDS 16
#define LAUNCH_MSG_FD_MAX 63 /* highest number in the child */
#define LAUNCH_MSG_LIMITS 16
#define LAUNCH_MSG_ARGS 256
#define LAUNCH_MSG_GROUP 160

enum launch_msg_type {
	LAUNCH_HELLO = 1,
	LAUNCH_WELCOME,
	LAUNCH_START,
	LAUNCH_STARTED,
	LAUNCH_REMOVE,
};

struct launch_msg_limit {
	uint32_t resource;
	uint64_t soft, hard;
};

struct launch_start {
	uint32_t id;	      /* comes back in the answer */
	uint64_t deadline_ms; /* CLOCK_BOOTTIME: later it must not be started */
	const char *const *argv, *const *envp; /* end with NULL */
	const char *cwd;		       /* "": the root directory */
	int fds[LAUNCH_MSG_FDS];	       /* numbers in the child, each once */
	size_t nfds;
	struct launch_msg_limit limits[LAUNCH_MSG_LIMITS];
	size_t nlimits;
	bool has_user, setsid, no_new_privs;
	uint32_t uid, gid;
	int32_t oom_score_adj;
	char group[LAUNCH_MSG_GROUP]; /* "": none */
	uint64_t memory;	      /* limits of the group; 0: none */
	uint32_t pids, cpu_permille;
	void *owned; /* by what was decoded */
};

struct launch_started {
	uint32_t id;
	int32_t pid; /* when code is ERR_NONE */
	enum err_code code;
	char msg[400];
};

/* False when memory is out or it is too large: nothing is left to free then. */
bool launch_hello_encode(struct wire_w *w);
bool launch_welcome_encode(const char *group, struct wire_w *w);
bool launch_start_encode(const struct launch_start *s, struct wire_w *w);
bool launch_started_encode(const struct launch_started *s, struct wire_w *w);
bool launch_remove_encode(const char *group, struct wire_w *w);

/* 0 when it is no message of this version. */
enum launch_msg_type launch_msg_peek(const void *data, size_t len);
/* All of them: whole message, or false. */
bool launch_hello_decode(const void *data, size_t len);
/* The group that leaves are made in; "": it has none. */
bool launch_welcome_decode(const void *data, size_t len, char *group, size_t size);
bool launch_start_decode(const void *data, size_t len, struct launch_start *s);
void launch_start_free(struct launch_start *s);
bool launch_started_decode(const void *data, size_t len, struct launch_started *s);
bool launch_remove_decode(const void *data, size_t len, char *group, size_t size);
/* One component of a path, of our own making. */
bool launch_group_is_valid(const char *group);
