#include "render.h"

#include <json-c/json.h>
#include <string.h>

/*
 *	output      [: partial]  id, data: per line
 *	step-start  event: step  id, {index, name, status}
 *	step-end    event: step  id, {index, name, status, exitCode?, duration?}
 *	note        event: note  id, {text, error?}
 *
 * Ids belong to what lies in the log only: a client that comes back with the last one
 * goes on exactly behind it.
 */

static void
sse_id(const struct render *r, uint64_t offset, struct strbuf *out)
{
	strbuf_addf(out, "id: %u-%llu\n", r->attempt, (unsigned long long)offset);
}

/* Consumes o. */
static void
sse_json(struct json_object *o, struct strbuf *out)
{
	strbuf_adds(out, "data: ");
	strbuf_adds(out, json_object_to_json_string_ext(
				 o, JSON_C_TO_STRING_PLAIN |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	strbuf_adds(out, "\n\n");
	json_object_put(o);
}

static void
json_add_text(struct json_object *o, const char *key, const void *text, size_t len)
{
	cleanup_strbuf struct strbuf valid = { 0 };

	strbuf_add_utf8(&valid, text, len);
	json_object_object_add(o, key,
			       json_object_new_string_len(strbuf_str(&valid),
							  (int)valid.len));
}

/* Bytes of the first line of p, without its end; *next is where the one after it
 * begins. */
static size_t
line_split(const uint8_t *p, size_t len, size_t *next)
{
	size_t n = 0;

	while (n < len && p[n] != '\n' && p[n] != '\r')
		n++;
	*next = n;
	if (n < len)
		*next += p[n] == '\r' && n + 1 < len && p[n + 1] == '\n' ? 2 : 1;
	return n;
}

static void
sse_output(struct render *r, const struct frame *f, const uint8_t *p, uint64_t offset,
	   struct strbuf *out)
{
	uint32_t len = f->len;
	size_t next;

	if (len == 0 || !render_skip(r, &p, &len))
		return;
	if (f->flags & FRAME_PARTIAL)
		strbuf_adds(out, ": partial\n");
	sse_id(r, offset, out);
	for (; len > 0; p += next, len -= (uint32_t)next) {
		size_t line = line_split(p, len, &next);

		strbuf_adds(out, "data: ");
		strbuf_add_utf8(out, p, line);
		strbuf_addc(out, '\n');
	}
	strbuf_addc(out, '\n');
}

static struct json_object *
step_object(const struct render *r, const struct frame *f, const char *status)
{
	struct json_object *o = json_object_new_object();
	const char *name = f->step < r->steps->n ? r->steps->names[f->step] : "";

	json_object_object_add(o, "index", json_object_new_int(f->step));
	json_add_text(o, "name", name, strlen(name));
	json_object_object_add(o, "status", json_object_new_string(status));
	return o;
}

static void
sse_step_start(struct render *r, const struct frame *f, const uint8_t *p,
	       uint64_t offset, struct strbuf *out)
{
	struct json_object *o;

	if (f->step < r->steps->n)
		r->steps->started[f->step] = (int64_t)f->time_ms;
	if (render_skip_step(r))
		return;
	o = step_object(r, f, "running");
	json_add_text(o, "name", p, f->len);
	sse_id(r, offset, out);
	strbuf_adds(out, "event: step\n");
	sse_json(o, out);
}

static void
sse_step_end(struct render *r, const struct frame *f, const uint8_t *p, uint64_t offset,
	     struct strbuf *out)
{
	struct step_end s;
	struct json_object *o;
	int64_t started = f->step < r->steps->n ? r->steps->started[f->step] : 0;
	bool skipped, failed;

	if (r->skip > 0 || !step_end_decode(&s, p, f->len))
		return;
	skipped = s.flags & STEP_END_SKIPPED;
	failed = s.exit_code != 0 ||
		 (s.flags & (STEP_END_TIMED_OUT | STEP_END_CANCELLED));
	o = step_object(r, f, skipped ? "skipped" : failed ? "failure" : "success");
	if (!skipped) {
		json_object_object_add(o, "exitCode", json_object_new_int(s.exit_code));
		if (started > 0 && (int64_t)f->time_ms >= started)
			json_object_object_add(o, "duration",
					       json_object_new_int64(
						       (int64_t)f->time_ms - started));
	}
	sse_id(r, offset, out);
	strbuf_adds(out, "event: step\n");
	sse_json(o, out);
}

static void
note_event(const void *text, size_t len, bool error, struct strbuf *out)
{
	struct json_object *o = json_object_new_object();

	json_add_text(o, "text", text, len);
	if (error)
		json_object_object_add(o, "error", json_object_new_boolean(true));
	strbuf_adds(out, "event: note\n");
	sse_json(o, out);
}

static void
sse_note_frame(struct render *r, const struct frame *f, const uint8_t *p,
	       uint64_t offset, struct strbuf *out)
{
	if (r->skip > 0)
		return;
	sse_id(r, offset, out);
	note_event(p, f->len, f->flags & FRAME_ERROR, out);
}

static void
sse_note(const struct render *r, const char *text, size_t len, bool error,
	 struct strbuf *out)
{
	note_event(text, len, error, out);
}

static struct json_object *
status_object(const struct render_status *s)
{
	struct json_object *o = json_object_new_object();

	json_add_text(o, "id", s->id, strlen(s->id));
	json_object_object_add(o, "status",
			       json_object_new_string(job_state_name(s->state)));
	json_object_object_add(o, "attempt", json_object_new_int64(s->attempt));
	if (s->reason != REASON_NONE)
		json_object_object_add(o, "reason",
				       json_object_new_string(
					       job_reason_name(s->reason)));
	if (*s->error)
		json_add_text(o, "error", s->error, strlen(s->error));
	return o;
}

static void
sse_status(const struct render_status *s, struct strbuf *out)
{
	struct json_object *o = status_object(s);

	if (s->state == JOB_RUNNING && s->phase != PHASE_NONE)
		json_object_object_add(o, "phase",
				       json_object_new_string(
					       job_phase_name(s->phase)));
	if (*s->wait_reason)
		json_add_text(o, "waitReason", s->wait_reason, strlen(s->wait_reason));
	if (s->position > 0)
		json_object_object_add(o, "queuePosition",
				       json_object_new_int64(s->position));
	strbuf_adds(out, "event: status\n");
	sse_json(o, out);
}

static void
sse_end(const struct render_status *s, struct strbuf *out)
{
	struct json_object *o = status_object(s);

	if (s->started_at > 0 && s->finished_at >= s->started_at)
		json_object_object_add(o, "duration",
				       json_object_new_int64(s->finished_at -
							     s->started_at));
	strbuf_adds(out, "event: end\n");
	sse_json(o, out);
}

const struct render_form render_sse = {
	.type = "text/event-stream",
	.beat = ": still here\n\n",
	.frame = {
		[FRAME_STEP_START] = sse_step_start,
		[FRAME_STDOUT] = sse_output,
		[FRAME_STDERR] = sse_output,
		[FRAME_STEP_END] = sse_step_end,
		[FRAME_NOTE] = sse_note_frame,
	},
	.note = sse_note,
	.status = sse_status,
	.end = sse_end,
};
