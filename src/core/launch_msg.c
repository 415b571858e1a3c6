#include "slipway/launch_msg.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x484e4c53u /* "SLNH" */
#define VERSION 1

#define FLAG_USER 1u
#define FLAG_SETSID 2u
#define FLAG_NO_NEW_PRIVS 4u
#define FLAGS_ALL 7u

/* Counts are held against what is left to read. */
#define STRING_MIN 4
#define FD_LEN 1
#define LIMIT_LEN 20

static void
begin(struct wire_w *w, enum launch_msg_type type)
{
	*w = (struct wire_w){ 0 };
	wire_w_u32(w, MAGIC);
	wire_w_u16(w, VERSION);
	wire_w_u8(w, (uint8_t)type);
}

static bool
finish(struct wire_w *w)
{
	if (!w->failed && w->len <= LAUNCH_MSG_MAX)
		return true;
	wire_w_free(w);
	return false;
}

bool
launch_hello_encode(struct wire_w *w)
{
	begin(w, LAUNCH_HELLO);
	return finish(w);
}

bool
launch_welcome_encode(const char *group, struct wire_w *w)
{
	begin(w, LAUNCH_WELCOME);
	wire_w_str(w, group);
	return finish(w);
}

bool
launch_remove_encode(const char *group, struct wire_w *w)
{
	begin(w, LAUNCH_REMOVE);
	wire_w_str(w, group);
	return finish(w);
}

bool
launch_started_encode(const struct launch_started *s, struct wire_w *w)
{
	begin(w, LAUNCH_STARTED);
	wire_w_u32(w, s->id);
	wire_w_u32(w, (uint32_t)s->pid);
	wire_w_u16(w, (uint16_t)s->code);
	wire_w_str(w, s->msg);
	return finish(w);
}

static void
put_strings(struct wire_w *w, const char *const *v)
{
	uint32_t n = 0;

	while (v && v[n])
		n++;
	wire_w_u32(w, n);
	for (uint32_t i = 0; i < n; i++)
		wire_w_str(w, v[i]);
}

bool
launch_start_encode(const struct launch_start *s, struct wire_w *w)
{
	begin(w, LAUNCH_START);
	wire_w_u32(w, s->id);
	wire_w_u64(w, s->deadline_ms);
	put_strings(w, s->argv);
	put_strings(w, s->envp);
	wire_w_str(w, s->cwd);
	wire_w_u32(w, (uint32_t)s->nfds);
	for (size_t i = 0; i < s->nfds; i++)
		wire_w_u8(w, (uint8_t)s->fds[i]);
	wire_w_u32(w, (uint32_t)s->nlimits);
	for (size_t i = 0; i < s->nlimits; i++) {
		wire_w_u32(w, s->limits[i].resource);
		wire_w_u64(w, s->limits[i].soft);
		wire_w_u64(w, s->limits[i].hard);
	}
	wire_w_u8(w, (uint8_t)((s->has_user ? FLAG_USER : 0) |
			       (s->setsid ? FLAG_SETSID : 0) |
			       (s->no_new_privs ? FLAG_NO_NEW_PRIVS : 0)));
	wire_w_u32(w, s->uid);
	wire_w_u32(w, s->gid);
	wire_w_u32(w, (uint32_t)s->oom_score_adj);
	wire_w_str(w, s->group);
	wire_w_u64(w, s->memory);
	wire_w_u32(w, s->pids);
	wire_w_u32(w, s->cpu_permille);
	return finish(w);
}

enum launch_msg_type
launch_msg_peek(const void *data, size_t len)
{
	struct wire_r r;

	wire_r_init(&r, data, len);
	bool ours = wire_r_u32(&r) == MAGIC && wire_r_u16(&r) == VERSION;
	uint8_t type = wire_r_u8(&r);

	return ours && len <= LAUNCH_MSG_MAX && type <= LAUNCH_REMOVE
		       ? (enum launch_msg_type)type
		       : 0;
}

static bool
open_as(struct wire_r *r, const void *data, size_t len, enum launch_msg_type type)
{
	if (launch_msg_peek(data, len) != type)
		return false;
	wire_r_init(r, data, len);
	wire_r_u32(r);
	wire_r_u16(r);
	wire_r_u8(r);
	return true;
}

bool
launch_hello_decode(const void *data, size_t len)
{
	struct wire_r r;

	return open_as(&r, data, len, LAUNCH_HELLO) && wire_r_done(&r);
}

bool
launch_welcome_decode(const void *data, size_t len, char *group, size_t size)
{
	struct wire_r r;

	if (!open_as(&r, data, len, LAUNCH_WELCOME))
		return false;
	wire_r_str_into(&r, group, size);
	return wire_r_done(&r) && (!*group || *group == '/');
}

bool
launch_group_is_valid(const char *group)
{
	return !strncmp(group, "slipway-", strlen("slipway-")) &&
	       strspn(group, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			     "0123456789-_.") == strlen(group);
}

bool
launch_remove_decode(const void *data, size_t len, char *group, size_t size)
{
	struct wire_r r;

	if (!open_as(&r, data, len, LAUNCH_REMOVE))
		return false;
	wire_r_str_into(&r, group, size);
	return wire_r_done(&r) && launch_group_is_valid(group);
}

bool
launch_started_decode(const void *data, size_t len, struct launch_started *s)
{
	struct wire_r r;
	uint16_t code;

	*s = (struct launch_started){ 0 };
	if (!open_as(&r, data, len, LAUNCH_STARTED))
		return false;
	s->id = wire_r_u32(&r);
	s->pid = (int32_t)wire_r_u32(&r);
	code = wire_r_u16(&r);
	wire_r_str_into(&r, s->msg, sizeof(s->msg));
	if (!wire_r_done(&r) || code >= ERR_CODES || (code == ERR_NONE) != (s->pid > 0))
		return false;
	s->code = (enum err_code)code;
	return true;
}

/* Vectors first, then the texts; their sizes follow from that of the message. */
struct arena {
	const char **vector;
	char *text;
};

static const char *
take_string(struct wire_r *r, struct arena *a)
{
	char *s = a->text;
	size_t len;
	const uint8_t *p = wire_r_bytes(r, LAUNCH_MSG_MAX, &len);

	if (len && memchr(p, 0, len)) {
		r->bad = true;
		len = 0;
	}
	memcpy(s, p, len);
	s[len] = '\0';
	a->text += len + 1;
	return s;
}

static const char *const *
take_strings(struct wire_r *r, struct arena *a)
{
	uint32_t n = wire_r_count(r, LAUNCH_MSG_ARGS, STRING_MIN);
	const char **v = a->vector;

	a->vector += n + 1;
	for (uint32_t i = 0; i < n; i++)
		v[i] = take_string(r, a);
	v[n] = NULL;
	return v;
}

static void
take_fds(struct wire_r *r, struct launch_start *s)
{
	uint64_t seen = 0;

	s->nfds = wire_r_count(r, LAUNCH_MSG_FDS, FD_LEN);
	for (size_t i = 0; i < s->nfds; i++) {
		uint8_t fd = wire_r_u8(r);

		if (fd > LAUNCH_MSG_FD_MAX || (seen & 1ull << fd))
			r->bad = true;
		else
			seen |= 1ull << fd;
		s->fds[i] = fd;
	}
}

static void
take_limits(struct wire_r *r, struct launch_start *s)
{
	s->nlimits = wire_r_count(r, LAUNCH_MSG_LIMITS, LIMIT_LEN);
	for (size_t i = 0; i < s->nlimits; i++) {
		s->limits[i].resource = wire_r_u32(r);
		s->limits[i].soft = wire_r_u64(r);
		s->limits[i].hard = wire_r_u64(r);
	}
}

static void
take_rest(struct wire_r *r, struct launch_start *s)
{
	uint8_t flags = wire_r_u8(r);

	if (flags & ~FLAGS_ALL)
		r->bad = true;
	s->has_user = flags & FLAG_USER;
	s->setsid = flags & FLAG_SETSID;
	s->no_new_privs = flags & FLAG_NO_NEW_PRIVS;
	s->uid = wire_r_u32(r);
	s->gid = wire_r_u32(r);
	s->oom_score_adj = (int32_t)wire_r_u32(r);
	wire_r_str_into(r, s->group, sizeof(s->group));
	s->memory = wire_r_u64(r);
	s->pids = wire_r_u32(r);
	s->cpu_permille = wire_r_u32(r);
}

bool
launch_start_decode(const void *data, size_t len, struct launch_start *s)
{
	const size_t vectors = 2 * (LAUNCH_MSG_ARGS + 1) * sizeof(char *);
	struct wire_r r;

	*s = (struct launch_start){ 0 };
	if (!open_as(&r, data, len, LAUNCH_START))
		return false;
	/* A text needs four bytes of the message more than it has itself, and here one;
	 * bad reads make empty ones, after which nothing more is taken. */
	s->owned = malloc(vectors + len + 2 * LAUNCH_MSG_ARGS + 8);
	if (!s->owned)
		return false;
	struct arena a = { s->owned, (char *)s->owned + vectors };

	s->id = wire_r_u32(&r);
	s->deadline_ms = wire_r_u64(&r);
	s->argv = take_strings(&r, &a);
	s->envp = take_strings(&r, &a);
	s->cwd = take_string(&r, &a);
	take_fds(&r, s);
	take_limits(&r, s);
	take_rest(&r, s);
	if (wire_r_done(&r) && s->argv[0] &&
	    (!*s->group || launch_group_is_valid(s->group)) &&
	    s->oom_score_adj >= -1000 && s->oom_score_adj <= 1000)
		return true;
	launch_start_free(s);
	return false;
}

void
launch_start_free(struct launch_start *s)
{
	free(s->owned);
	*s = (struct launch_start){ 0 };
}
