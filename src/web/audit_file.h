/*
 * audit_file: the audit log on disk. Blocking: for the pool. No state but the files.
 */
#pragma once

#include <stddef.h>

#include "audit.h"
#include "slipway/err.h"
#include "slipway/strbuf.h"

#define AUDIT_FILE_MAX (16u << 20)
#define AUDIT_FILES_KEPT 4

/* A line of JSON; looks up the name of a user. */
void audit_format(const struct audit_entry *en, struct strbuf *out);
/* Append whole lines, synced. All or nothing: after a failure the file is as it was. */
int audit_append(const char *path, const struct strbuf *lines, size_t max,
		 struct err *e);
/* The last lines of the file and the one before it, as a JSON array, newest first. */
int audit_tail(const char *path, unsigned limit, struct strbuf *out, struct err *e);
