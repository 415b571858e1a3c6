#include "slipway/worker_task.h"

#include <stdlib.h>
#include <string.h>

#include "slipway/mem.h"
#include "slipway/strbuf.h"

#define VERSION 1
#define URL_MAX 4096
#define NAME_MAX_LEN 1024
#define LIST_MAX 1024
#define CREDENTIALS_MAX 64
#define SPAWN_MAGIC 0x534c5731u /* "SLW1" */

static void
write_strings(struct wire_w *w, const struct worker_strings *s)
{
	wire_w_u32(w, (uint32_t)s->n);
	for (size_t i = 0; i < s->n; i++)
		wire_w_str(w, s->v[i]);
}

int
worker_fetch_encode(const struct worker_fetch *t, struct wire_w *w, struct err *e)
{
	wire_w_u8(w, VERSION);
	wire_w_str(w, t->url);
	wire_w_str(w, t->commit);
	wire_w_str(w, t->branch);
	wire_w_str(w, t->mirrors);
	wire_w_str(w, t->dest);
	wire_w_u32(w, t->depth);
	wire_w_u8(w, t->submodules);
	wire_w_u64(w, t->max_bytes);
	wire_w_u64(w, t->max_objects);
	write_strings(w, &t->hosts);
	write_strings(w, &t->roots);
	wire_w_u32(w, (uint32_t)t->ncredentials);
	for (size_t i = 0; i < t->ncredentials; i++) {
		const struct worker_credential *c = &t->credentials[i];

		wire_w_str(w, c->match);
		wire_w_str(w, c->username);
		wire_w_str(w, c->token);
		wire_w_str(w, c->ssh_key);
		wire_w_str(w, c->known_hosts);
	}
	if (w->failed)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (w->len > WORKER_TASK_MAX)
		return err_set(e, ERR_TOO_LARGE, "git settings and credentials are too "
			       "large for one checkout (%zu bytes)", w->len);
	return 0;
}

static void
read_strings(struct wire_r *r, struct worker_strings *s)
{
	uint32_t n = wire_r_count(r, LIST_MAX, 4);

	s->v = xcalloc(n + 1, sizeof(*s->v));
	for (s->n = 0; s->n < n; s->n++)
		s->v[s->n] = wire_r_str(r, URL_MAX);
}

static void
read_credentials(struct wire_r *r, struct worker_fetch *t)
{
	uint32_t n = wire_r_count(r, CREDENTIALS_MAX, 5 * 4);

	t->credentials = xcalloc(n + 1, sizeof(*t->credentials));
	for (t->ncredentials = 0; t->ncredentials < n; t->ncredentials++) {
		struct worker_credential *c = &t->credentials[t->ncredentials];

		c->match = wire_r_str(r, URL_MAX);
		c->username = wire_r_str(r, NAME_MAX_LEN);
		c->token = wire_r_str(r, WORKER_TASK_MAX);
		c->ssh_key = wire_r_str(r, WORKER_TASK_MAX);
		c->known_hosts = wire_r_str(r, WORKER_TASK_MAX);
	}
}

int
worker_fetch_decode(const void *data, size_t len, struct worker_fetch *t, struct err *e)
{
	struct wire_r r;
	uint8_t submodules;

	memset(t, 0, sizeof(*t));
	wire_r_init(&r, data, len);
	if (len > WORKER_TASK_MAX || wire_r_u8(&r) != VERSION)
		return err_set(e, ERR_PROTOCOL, "a task of another version");
	t->url = wire_r_str(&r, URL_MAX);
	t->commit = wire_r_str(&r, NAME_MAX_LEN);
	t->branch = wire_r_str(&r, NAME_MAX_LEN);
	t->mirrors = wire_r_str(&r, URL_MAX);
	t->dest = wire_r_str(&r, URL_MAX);
	t->depth = wire_r_u32(&r);
	submodules = wire_r_u8(&r);
	t->submodules = submodules == 1;
	t->max_bytes = wire_r_u64(&r);
	t->max_objects = wire_r_u64(&r);
	read_strings(&r, &t->hosts);
	read_strings(&r, &t->roots);
	read_credentials(&r, t);
	if (wire_r_done(&r) && t->depth <= 1 && submodules <= 1)
		return 0;
	worker_fetch_free(t);
	return err_set(e, ERR_PROTOCOL, "a task that does not decode");
}

static void
wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

static void
free_strings(struct worker_strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
}

void
worker_fetch_free(struct worker_fetch *t)
{
	free(t->url);
	free(t->commit);
	free(t->branch);
	free(t->mirrors);
	free(t->dest);
	free_strings(&t->hosts);
	free_strings(&t->roots);
	for (size_t i = 0; i < t->ncredentials; i++) {
		struct worker_credential *c = &t->credentials[i];

		free(c->match);
		free(c->username);
		wipe(c->token);
		wipe(c->ssh_key);
		free(c->known_hosts);
	}
	free(t->credentials);
	memset(t, 0, sizeof(*t));
}

void
worker_frame_write(struct wire_w *w, enum worker_msg type, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (len > WORKER_FRAME_MAX)
		len = WORKER_FRAME_MAX;
	wire_w_u32(w, (uint32_t)len);
	wire_w_u8(w, (uint8_t)type);
	for (size_t i = 0; i < len; i++)
		wire_w_u8(w, p[i]);
}

int
worker_frame_next(const void *data, size_t len, struct worker_frame *f, size_t *used)
{
	struct wire_r r;
	uint32_t n;
	uint8_t type;

	if (len < WORKER_FRAME_HEAD)
		return 0;
	wire_r_init(&r, data, len);
	n = wire_r_u32(&r);
	type = wire_r_u8(&r);
	if (n > WORKER_FRAME_MAX || type < WORKER_NOTE || type > WORKER_RESULT)
		return -1;
	if (len - WORKER_FRAME_HEAD < n)
		return 0;
	f->type = (enum worker_msg)type;
	f->data = (const uint8_t *)data + WORKER_FRAME_HEAD;
	f->len = n;
	*used = WORKER_FRAME_HEAD + n;
	return 1;
}

void
worker_error_encode(const struct err *e, struct wire_w *w)
{
	wire_w_u8(w, (uint8_t)e->code);
	wire_w_u32(w, (uint32_t)e->sys);
	wire_w_str(w, e->msg);
}

void
worker_error_decode(const void *data, size_t len, struct err *e)
{
	char line[sizeof(e->msg)];
	struct wire_r r;
	uint8_t code;

	memset(e, 0, sizeof(*e));
	wire_r_init(&r, data, len);
	code = wire_r_u8(&r);
	e->sys = (int)wire_r_u32(&r);
	wire_r_str_into(&r, e->msg, sizeof(e->msg));
	if (!wire_r_done(&r) || code == ERR_NONE || code >= ERR_CODES) {
		memset(e, 0, sizeof(*e));
		err_set(e, ERR_PROTOCOL, "the git helper sent an error that does not "
			"decode");
		return;
	}
	e->code = (enum err_code)code;
	worker_note_clean(e->msg, strlen(e->msg), line, sizeof(line));
	memcpy(e->msg, line, sizeof(line));
}

bool
worker_result_decode(const void *data, size_t len, char *sha)
{
	const char *p = data;

	if (len != WORKER_SHA_LEN)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	memcpy(sha, p, len);
	sha[len] = '\0';
	return true;
}

void
worker_note_clean(const void *data, size_t len, char *out, size_t size)
{
	cleanup_strbuf struct strbuf b = { 0 };
	size_t n;

	strbuf_add_utf8(&b, data, len);
	n = b.len;
	if (n >= size) {
		/* Not in the middle of a character. */
		for (n = size - 1; n && ((unsigned char)b.data[n] & 0xc0) == 0x80;)
			n--;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)b.data[i];

		out[i] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
	}
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

void
worker_spawn_encode(const struct worker_spawn *s, struct wire_w *w)
{
	wire_w_u32(w, SPAWN_MAGIC);
	wire_w_u64(w, s->memory);
	wire_w_u64(w, s->file_size);
}

bool
worker_spawn_decode(const void *data, size_t len, struct worker_spawn *s)
{
	struct wire_r r;

	wire_r_init(&r, data, len);
	if (wire_r_u32(&r) != SPAWN_MAGIC)
		return false;
	s->memory = wire_r_u64(&r);
	s->file_size = wire_r_u64(&r);
	return wire_r_done(&r);
}

void
worker_spawned_encode(int error, struct wire_w *w)
{
	wire_w_u32(w, SPAWN_MAGIC);
	wire_w_u32(w, (uint32_t)error);
}

bool
worker_spawned_decode(const void *data, size_t len, int *error)
{
	struct wire_r r;

	wire_r_init(&r, data, len);
	if (wire_r_u32(&r) != SPAWN_MAGIC)
		return false;
	*error = (int)wire_r_u32(&r);
	return wire_r_done(&r);
}
