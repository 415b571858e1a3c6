/*
 * worker_task: what the daemon and slipway-worker say to each other.
 *
 * Nursery. `slipway-worker nursery` has libgit2 initialised and waits on its descriptor
 * 0, a SOCK_SEQPACKET socket. One request per task: a worker_spawn with two descriptors
 * attached, the task's stream socket and the pipe for its output. It forks a child that
 * has these as 0 and 1, and answers with a worker_spawned, the child's pidfd attached.
 * When the socket closes the nursery ends and its children with it.
 *
 * Task. On the socket: u32 length, then the encoded worker_fetch. The sender keeps its
 * end open: when that closes, the child ends at once, whatever it is doing. Credentials
 * travel here only, never in arguments, the environment or files.
 *
 * Output. Frames {u32 length, u8 type, bytes}: any number of notes and warnings (one
 * line of text, without newline), then one error or result. The bytes come from a
 * process that parses hostile input: everything is checked, text is never trusted.
 *
 * Little-endian, versioned; encoders and decoders are pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/wire.h"

#define WORKER_TASK_MAX (128 * 1024) /* fits into a socket's buffer */
#define WORKER_FRAME_MAX 4096	     /* payload */
#define WORKER_FRAME_HEAD 5
#define WORKER_SHA_LEN 40
#define WORKER_SPAWN_MAX 64

enum worker_msg { WORKER_NOTE = 1, WORKER_WARNING, WORKER_ERROR, WORKER_RESULT };

struct worker_credential {
	char *match;	   /* glob over giturl_format_short() */
	char *username;	   /* "" = the scheme's default */
	char *token;	   /* "" = none */
	char *ssh_key;	   /* the private key's text; "" = none */
	char *known_hosts; /* the file's text; "" = none */
};

struct worker_strings {
	char **v;
	size_t n;
};

struct worker_fetch {
	char *url;
	char *commit, *branch; /* "" = not given */
	char *mirrors;	       /* directory of the bare mirrors */
	char *dest;	       /* made by the worker */
	uint32_t depth;	       /* 1, or 0 for everything */
	bool submodules;
	uint64_t max_bytes;   /* of a pack, and of a file */
	uint64_t max_objects; /* of a pack, and of files */
	struct worker_strings hosts, roots; /* policy, see giturl.h */
	struct worker_credential *credentials;
	size_t ncredentials;
};

/* ERR_TOO_LARGE over WORKER_TASK_MAX. */
int worker_fetch_encode(const struct worker_fetch *t, struct wire_w *w, struct err *e);
/* ERR_PROTOCOL; on success free with worker_fetch_free(). */
int worker_fetch_decode(const void *data, size_t len, struct worker_fetch *t,
			struct err *e);
/* Wipes credentials. */
void worker_fetch_free(struct worker_fetch *t);

struct worker_frame {
	enum worker_msg type;
	const uint8_t *data; /* into the input */
	size_t len;
};

void worker_frame_write(struct wire_w *w, enum worker_msg type, const void *data,
			size_t len);
/* 1: a frame, *used bytes of data consumed; 0: more bytes are needed; -1: not a frame,
 * give up. */
int worker_frame_next(const void *data, size_t len, struct worker_frame *f,
		      size_t *used);

/* Payload of WORKER_ERROR. An error that does not decode becomes ERR_PROTOCOL. */
void worker_error_encode(const struct err *e, struct wire_w *w);
void worker_error_decode(const void *data, size_t len, struct err *e);
/* Payload of WORKER_RESULT: 40 lower-case hex digits; sha holds 41. */
bool worker_result_decode(const void *data, size_t len, char *sha);
/* A note's text as one printable line in UTF-8; out holds size bytes. */
void worker_note_clean(const void *data, size_t len, char *out, size_t size);

struct worker_spawn {
	uint64_t memory;    /* RLIMIT_AS */
	uint64_t file_size; /* RLIMIT_FSIZE */
};

void worker_spawn_encode(const struct worker_spawn *s, struct wire_w *w);
bool worker_spawn_decode(const void *data, size_t len, struct worker_spawn *s);
/* The answer: errno of the nursery's failure, or 0. */
void worker_spawned_encode(int error, struct wire_w *w);
bool worker_spawned_decode(const void *data, size_t len, int *error);
