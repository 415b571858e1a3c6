/*
 * web: the HTTP API, the log streams and the pages. Loop thread only.
 *
 * Owns the server (http.h), who may use it (tokens, sessions, the audit log) and every
 * request under way. Handlers translate: bytes to
 * verbs of the engine, committed records to JSON; no rule about jobs lives here.
 * A request that waits (for a commit, a change, the growth of a log) is a web_task: it
 * ends when it is answered or when its client leaves, whichever comes first, and late
 * callbacks find it ended.
 */
#pragma once

#include <stdint.h>

#include "slipway/bus.h"
#include "slipway/conf.h"
#include "slipway/db.h"
#include "slipway/engine.h"
#include "slipway/err.h"
#include "slipway/loop.h"
#include "slipway/pool.h"
#include "slipway/strbuf.h"

struct web;

struct web_deps {
	struct loop *loop;
	struct pool *pool;
	struct db *db;
	struct bus *bus;
	struct engine *engine;
	const struct conf *conf; /* valid until the next web_reload() */
	/* Reads the configuration anew, as SIGHUP does; *restart gets the keys (one per
	 * line) that wait for a restart. 0: done follows, once it is in force. */
	int (*reload)(void *arg, struct strbuf *restart, void (*done)(void *of),
		      void *of, struct err *e);
	void *arg;
};

struct web *web_new(const struct web_deps *d, struct err *e);
/* Closes every connection. After pool_stop(), when anything was served; before
 * engine_free(), bus_free(), db_close() and loop_free(). */
void web_free(struct web *w);
/* Binds http.unix_socket and all of http.listen (loopback addresses only while no token
 * is valid); *port is that of the first TCP listener, 0 without one. */
int web_listen(struct web *w, uint16_t *port, struct err *e);
void web_stop_listening(struct web *w);
/* Listeners stay as they are; public_url and http.hosts change. */
void web_reload(struct web *w, const struct conf *conf);
/* Connections and waiting requests, a line each (SIGUSR1). */
void web_dump(const struct web *w, struct strbuf *out);
