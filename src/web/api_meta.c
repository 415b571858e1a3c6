#include "web_priv.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "query.h"
#include "slipway/clock.h"
#include "slipway/http_stream.h"
#include "slipway/mem.h"
#include "slipway/version.h"

void
api_root(struct http_req r, void *arg)
{
	static const char banner[] = "slipway " SLIPWAY_VERSION "\n";
	static const char *const allowed[] = { NULL };
	const char *accept = http_req_header(r, "Accept");

	if (!web_query_only(r, allowed))
		return;
	http_set_header(r, "Vary", "Accept");
	if (accept && query_accepts(accept, "text/html")) {
		http_set_header(r, "Location", "/dashboard");
		http_reply(r, 302, "text/plain; charset=utf-8", banner,
			   sizeof(banner) - 1);
	} else {
		http_reply(r, 200, "text/plain; charset=utf-8", banner,
			   sizeof(banner) - 1);
	}
}

static void
add_now(struct json_object *o)
{
	char text[CLOCK_ISO_SIZE];

	clock_format_iso(clock_wall_ms(), text);
	json_object_object_add(o, "timestamp", json_object_new_string(text));
}

void
api_health(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };
	struct web *w = arg;
	const char *trouble = audit_trouble(w->audit);
	struct json_object *o, *store;
	struct engine_stats s;
	const char *status = "ok";
	bool ready;

	if (!web_query_only(r, allowed))
		return;
	engine_stats(w->d.engine, &s);
	ready = s.accepting && (!trouble || strcmp(http_req_path(r), "/health/ready"));
	if (!ready && s.hold.mode != ENGINE_DRAINING)
		status = "unavailable";
	else if (s.hold.mode != ENGINE_OPEN)
		status = engine_mode_name(s.hold.mode);
	o = json_object_new_object();
	json_object_object_add(o, "status", json_object_new_string(status));
	/* Jobs still run without an audit log, but somebody should look. */
	if (s.accepting && !ready)
		json_object_object_add(
			o, "reason",
			json_object_new_string("the audit log cannot be written"));
	else if (*s.why_not)
		json_object_object_add(o, "reason", json_object_new_string(s.why_not));
	json_object_object_add(o, "service", json_object_new_string("slipway"));
	json_object_object_add(o, "mode",
			       json_object_new_string(w->conf->dev ? "dev"
								   : "production"));
	add_now(o);
	json_object_object_add(o, "version", json_object_new_string(SLIPWAY_VERSION));
	json_object_object_add(o, "queued", json_object_new_int64(s.queued));
	json_object_object_add(o, "running", json_object_new_int64(s.running));
	json_object_object_add(o, "slots", json_object_new_int64(s.slots));
	json_object_object_add(o, "connections",
			       json_object_new_int64(http_connections(w->http)));
	json_object_object_add(o, "streams",
			       json_object_new_int64(http_streams(w->http)));
	store = json_object_new_object();
	json_object_object_add(store, "fill",
			       json_object_new_int64(db_fill_percent(w->d.db)));
	json_object_object_add(o, "store", store);
	json_object_object_add(o, "audit",
			       json_object_new_string(trouble ? "failing" : "ok"));
	json_object_object_add(o, "uptime",
			       json_object_new_int64((clock_mono_ms() - w->started) /
						     1000));
	http_set_header(r, "Cache-Control", "no-store");
	web_reply_json(r, ready ? 200 : 503, o);
}

/*
 * GET /health/stream: whoever wonders whether a proxy on the way holds back what is
 * streamed sees it from when these events arrive.
 */

#define BEATS 3
#define BEAT_MS 400

struct beats {
	struct web_task task;
	struct loop_timer *timer;
	unsigned sent;
};

static void
beats_release(struct web_task *t)
{
	struct beats *b = (struct beats *)t;

	loop_timer_free(b->timer);
	b->timer = NULL;
}

static void
on_beat(void *arg)
{
	struct beats *b = arg;
	char text[96];
	int n = snprintf(text, sizeof(text),
			 "event: beat\ndata: {\"number\":%u,\"of\":%d,\"every\":%d}\n\n",
			 b->sent + 1, BEATS, BEAT_MS);

	http_stream_write(b->task.req, text, (size_t)n);
	if (++b->sent < BEATS) {
		loop_timer_set(b->timer, BEAT_MS);
		return;
	}
	http_stream_end(b->task.req);
	web_task_end(&b->task);
}

void
api_health_stream(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };
	struct web *w = arg;
	struct beats *b;

	if (!web_query_only(r, allowed))
		return;
	b = xcalloc(1, sizeof(*b));
	b->task.what = "health stream";
	b->task.release = beats_release;
	b->timer = loop_timer_new(w->d.loop, on_beat, b);
	web_task_begin(&b->task, w, r);
	http_set_header(r, "Cache-Control", "no-cache");
	http_set_header(r, "X-Accel-Buffering", "no");
	http_stream_start(r, 200, "text/event-stream");
	loop_timer_set(b->timer, 0);
}
