#include "web_priv.h"

#include <stdio.h>
#include <time.h>

#include "query.h"
#include "slipway/clock.h"
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
	struct json_object *o, *store;
	struct engine_stats s;

	if (!web_query_only(r, allowed))
		return;
	engine_stats(w->d.engine, &s);
	o = json_object_new_object();
	json_object_object_add(o, "status",
			       json_object_new_string(s.accepting ? "ok"
								  : "unavailable"));
	if (!s.accepting)
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
	json_object_object_add(o, "uptime",
			       json_object_new_int64((clock_mono_ms() - w->started) /
						     1000));
	http_set_header(r, "Cache-Control", "no-store");
	web_reply_json(r, s.accepting ? 200 : 503, o);
}
