/*
 * frame: the spool's format, the log of record (see also spool.h).
 *
 * file header: 8 bytes "SLWSPL" + u16 version. Then frames: a 16-byte header (little
 * endian: u32 payload length, u8 type, u8 flags, u16 step, u64 wall-clock time in ms)
 * and the payload. To the daemon a spool is outside bytes: frame_check() holds every
 * header against lengths, types and order. Freestanding (libc only). Pure, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_HEADER_LEN 8
#define SPOOL_VERSION 1
#define FRAME_HEADER_LEN 16
#define FRAME_PAYLOAD_MAX (64u << 10)
#define FRAME_OUTPUT_TARGET FRAME_PAYLOAD_MAX /* flush output at this size */
#define FRAME_NO_STEP 0xffffu

enum frame_type {
	FRAME_JOB_START = 1, /* payload: u16 number of steps */
	FRAME_STEP_START,    /* payload: the step's name */
	FRAME_STDOUT,
	FRAME_STDERR,
	FRAME_STEP_END,	     /* payload: struct step_end */
	FRAME_CHECKPOINT,    /* payload: u32 number (reserved) */
	FRAME_NOTE,	     /* payload: text without newline at its end */
	FRAME_JOB_END,	     /* payload: u8 enum init_exit */
	FRAME_TYPES
};

#define FRAME_PARTIAL 1u   /* output that does not end with a newline */
#define FRAME_TRUNCATED 2u /* note: output over log.max_size is dropped from here on */
#define FRAME_ERROR 4u	   /* note: tells of an error */
#define FRAME_FLAGS (FRAME_PARTIAL | FRAME_TRUNCATED | FRAME_ERROR)

struct frame {
	uint32_t len; /* of the payload */
	uint8_t type;
	uint8_t flags;
	uint16_t step;
	uint64_t time_ms;
};

#define STEP_END_TIMED_OUT 1u
#define STEP_END_CANCELLED 2u
#define STEP_END_OOM 4u
#define STEP_END_SKIPPED 8u /* never ran; exit_code and usage are 0 */

struct step_end {
	int32_t exit_code; /* of an exited process; 128 + signal of a killed one */
	int32_t signal;	   /* 0 when it exited */
	uint8_t flags;
	uint64_t utime_us, stime_us; /* of the step's reaped processes */
	uint64_t max_rss;	     /* bytes */
};
#define STEP_END_LEN 33

void spool_header_encode(uint8_t out[SPOOL_HEADER_LEN]);
bool spool_header_ok(const uint8_t in[SPOOL_HEADER_LEN]);
void frame_encode(const struct frame *f, uint8_t out[FRAME_HEADER_LEN]);
void frame_decode(struct frame *f, const uint8_t in[FRAME_HEADER_LEN]);
void step_end_encode(const struct step_end *s, uint8_t out[STEP_END_LEN]);
bool step_end_decode(struct step_end *s, const uint8_t *in, size_t len);

/* Order of a spool: notes anywhere; job-start once and first of init's frames;
 * step-start in rising step order while no step is open; output of an already
 * started step (left-over processes may print after its end); step-end closes the
 * open step (or stands alone for a skipped one); nothing but notes after job-end.
 * nsteps bounds step numbers. Zero-initialise. */
struct frame_seq {
	bool started, ended;
	int32_t open;	  /* step + 1, or 0 */
	uint32_t next;	  /* first step number not yet seen */
	uint16_t nsteps;  /* from job-start's payload, set by frame_seq_job_start */
};
/* NULL when the header may stand here, else what is wrong (static text). Moves seq
 * on. Steps are checked against nsteps once frame_seq_job_start() has told it. */
const char *frame_check(struct frame_seq *seq, const struct frame *f);
void frame_seq_job_start(struct frame_seq *seq, uint16_t nsteps);
/* The name of a type ("stdout"), "?" when there is none. */
const char *frame_type_name(uint8_t type);
