/*
 * id: identifiers that users see.
 *
 * A job id is 1..128 bytes of [A-Za-z0-9._-], begins with a letter or digit, and
 * holds no "..": safe as a file name, in a URL and in a log line. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define JOB_ID_MAX 128

bool id_is_valid(const char *s);
/* "job-<ms>-<7 random base36 digits>" */
void id_make_job(char out[JOB_ID_MAX + 1]);
/* n random lower-case hex digits (n even), terminated: out holds n + 1. */
void id_random_hex(char *out, size_t n);
/* n random letters and digits, terminated. */
void id_random_base62(char *out, size_t n);
