/*
 * logsource: the bytes of one attempt's log, hot or sealed. Blocking, pool threads;
 * one thread at a time.
 */
#pragma once

#include <stdint.h>

#include "slipway/err.h"
#include "slipway/seal.h"
#include "slipway/strbuf.h"

struct logsource {
	int fd;		       /* hot, or -1 */
	struct sealed *sealed; /* or NULL */
	uint64_t size;	       /* when it was opened */
};

/* ERR_NOT_FOUND: there is no log (any more). dir: the attempt's directory. */
int logsource_open(struct logsource *s, const char *dir, struct err *e);
void logsource_close(struct logsource *s);
/* Append up to max bytes from offset on; fewer at the end. */
int logsource_read(struct logsource *s, uint64_t offset, size_t max, struct strbuf *out,
		   struct err *e);
