/*
 * local_status: the evidence a local sandbox leaves, the file "status" of its attempt.
 *
 * The daemon creates it with the boot's identity as its first line and an exclusive
 * flock; bubblewrap's monitor inherits that very descriptor, and with it the lock, and
 * adds lines of JSON:
 *
 *     {"boot-id": "…"}
 *     {"child-pid": 71, "pid-namespace": 4026532179, …}
 *     {"exit-code": 0}
 *
 * Lock held: it lives. Lock free with an exit code: it ended. Lock free without one: it
 * was torn down, and what is left of it may be killed. None of this needs the reader to
 * be the parent of anything. Without bubblewrap the daemon writes the second line
 * itself, with "start-time" (of the process, in clock ticks) instead of a namespace,
 * and the third. {"cancel-sent": true} is the daemon's, too: slipway-init takes a
 * second SIGTERM as impatience, so a later daemon must not repeat the first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "slipway/err.h"

#define LOCAL_STATUS_NAME "status"
#define LOCAL_STATUS_MAX 8192 /* bytes read; a sound one has about 300 */

struct local_status {
	char boot_id[40];
	pid_t child;	 /* 0: not written yet */
	uint64_t pid_ns; /* inode number of its namespace; 0: unknown */
	uint64_t start_time;
	bool cancel_sent;
	bool has_exit;
	int exit_code; /* 0..255 */
};

/* Pure. False when a complete line is not what it should be; what was read before it
 * stays in st. A last line without its newline is not complete and not looked at. */
bool local_status_parse(struct local_status *st, const char *data, size_t len);

/* A new locked file: the descriptor, or -1; ERR_CONFLICT when there is one already. */
int local_status_create(const char *dir, struct err *e);
/* For reading: the descriptor, or -1; ERR_NOT_FOUND when there is none. */
int local_status_open(const char *dir, struct err *e);
/* 0 also when nothing useful is in it yet; ERR_CORRUPT when lines are damaged. */
int local_status_read(int fd, struct local_status *st, struct err *e);
/* Is any other descriptor's lock on it? fd comes from local_status_open(). */
bool local_status_is_held(int fd);
/* Each appends a line of the daemon's own. fd is that of local_status_create(). */
int local_status_note_child(int fd, pid_t pid, struct err *e);
int local_status_note_exit(const char *dir, int code, struct err *e);
int local_status_note_cancel(const char *dir, struct err *e);
/* Undo local_status_create(): it never started. */
void local_status_remove(const char *dir);

enum local_child {
	LOCAL_CHILD_GONE,
	LOCAL_CHILD_LIVES,  /* *pidfd is it, proven */
	LOCAL_CHILD_UNSURE, /* something has that pid, and nothing proves it ours */
};
/* Never answers with a process that only happens to have the pid. */
enum local_child local_status_find_child(const struct local_status *st, int *pidfd);
/* Has the process of this pidfd ended? */
bool local_status_has_ended(int pidfd);
