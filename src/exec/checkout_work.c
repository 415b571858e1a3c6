/*
 * One checkout in the fetch lane, in order: build the task (policy, credentials from
 * their files), get a child from the nursery, send the task, read frames until the
 * child's end. Cancel, shutdown and the deadline kill the child; the last words count.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkout_priv.h"
#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/giturl.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/secret.h"
#include "slipway/strbuf.h"
#include "slipway/worker_task.h"

#define TICK_MS 250 /* between looks whether the pool is being freed */
#define NOTES_MAX 2000
#define KNOWN_HOSTS_MAX (64 * 1024)
#define KILL_WAIT_MS 5000

struct run {
	struct checkout *k;
	int out, task, pidfd;
	int64_t deadline;
	struct strbuf in;
	unsigned notes;
	bool finished;
	struct err err; /* ERR_NONE: sha is the result */
	char sha[WORKER_SHA_LEN + 1];
};

static char *
read_secret(const char *path, struct err *e)
{
	cleanup_secret struct secret s = { 0 };

	if (!*path)
		return xstrdup("");
	if (secret_load_file(&s, path, e))
		return NULL;
	/* A private key must end with its newline. */
	return xasprintf("%s\n", s.data);
}

static char *
read_known_hosts(const char *path, struct err *e)
{
	cleanup_strbuf struct strbuf b = { 0 };

	if (*path && fs_read_file(path, KNOWN_HOSTS_MAX, &b, e))
		return NULL;
	return xstrdup(strbuf_str(&b));
}

static int
add_credential(struct worker_fetch *t, const struct checkout_credential *from,
	       struct err *e)
{
	struct worker_credential *to = &t->credentials[t->ncredentials++];

	to->match = xstrdup(from->match);
	to->username = xstrdup(from->username);
	to->token = read_secret(from->token_file, e);
	if (to->token)
		to->token[strcspn(to->token, "\n")] = '\0';
	to->ssh_key = to->token ? read_secret(from->ssh_key_file, e) : NULL;
	to->known_hosts = to->ssh_key ? read_known_hosts(from->known_hosts_file, e)
				      : NULL;
	if (to->known_hosts)
		return 0;
	return err_wrap(e, "git.credentials for %s", from->match);
}

/* Submodules may live elsewhere, so with them all credentials go along; which is sent
 * to which server is decided by match again. */
static int
add_credentials(struct checkout *k, const struct giturl *u, struct worker_fetch *t,
		struct err *e)
{
	const struct checkout_settings *s = k->settings;
	char name[GITURL_MAX];

	giturl_format_short(u, name);
	t->credentials = xcalloc(s->ncredentials + 1, sizeof(*t->credentials));
	for (size_t i = 0; i < s->ncredentials; i++) {
		bool wanted = !fnmatch(s->credentials[i].match, name, 0);

		if ((wanted || k->submodules) &&
		    add_credential(t, &s->credentials[i], e))
			return -1;
	}
	return 0;
}

static void
copy_strings(struct worker_strings *to, const struct conf_strings *from)
{
	to->n = from->n;
	to->v = xcalloc(from->n + 1, sizeof(*to->v));
	for (size_t i = 0; i < from->n; i++)
		to->v[i] = xstrdup(from->v[i]);
}

/* The directory of mirrors belongs to who fetches. A second user gets his own one. */
static char *
make_mirrors(const struct checkout *k, struct err *e)
{
	uid_t uid = k->user.has_user ? k->user.uid : geteuid();
	struct stat st;

	for (int second = 0; second < 2; second++) {
		cleanup_free char *path =
			second ? xasprintf("%s/repos-%u", k->state_dir, (unsigned)uid)
			       : xasprintf("%s/repos", k->state_dir);

		if (!mkdir(path, 0700)) {
			if (k->user.has_user && uid != geteuid() &&
			    lchown(path, uid, k->user.gid)) {
				err_sys(e, "%s", path);
				return NULL;
			}
		} else if (errno != EEXIST) {
			err_sys(e, "%s", path);
			return NULL;
		}
		if (!lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == uid)
			return STEAL(path);
	}
	err_set(e, ERR_SYSTEM, "%s/repos belongs to somebody else", k->state_dir);
	return NULL;
}

static int
build_task(struct checkout *k, struct worker_fetch *t, struct err *e)
{
	const struct checkout_settings *s = k->settings;
	struct giturl_policy p = { s->hosts.v, s->hosts.n, s->roots.v, s->roots.n };
	struct giturl u;

	if (giturl_parse(k->repo, &u, e) || giturl_check(&u, &p, e))
		return -1;
	t->mirrors = make_mirrors(k, e);
	if (!t->mirrors || add_credentials(k, &u, t, e))
		return -1;
	t->url = xstrdup(k->repo);
	t->commit = xstrdup(k->commit);
	t->branch = xstrdup(k->branch);
	t->dest = xstrdup(k->dest);
	t->depth = k->depth;
	t->submodules = k->submodules;
	t->max_bytes = s->max_bytes;
	t->max_objects = s->max_objects;
	copy_strings(&t->hosts, &s->hosts);
	copy_strings(&t->roots, &s->roots);
	return 0;
}

/* The task fits into the socket's buffer, so this does not wait for the child. */
static int
send_task(int sock, const struct worker_fetch *t, struct err *e)
{
	struct wire_w body = { 0 }, head = { 0 };
	struct iovec iov[2];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	int size = 4 * WORKER_TASK_MAX, rc = worker_fetch_encode(t, &body, e);

	if (!rc) {
		wire_w_u32(&head, (uint32_t)body.len);
		iov[0] = (struct iovec){ head.data, head.len };
		iov[1] = (struct iovec){ body.data, body.len };
		setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		if (sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) !=
		    (ssize_t)(head.len + body.len))
			rc = err_sys(e, "the task of the git helper");
	}
	if (body.data)
		explicit_bzero(body.data, body.cap);
	wire_w_free(&body);
	wire_w_free(&head);
	return rc;
}

static int
spawn(struct run *r, struct err *e)
{
	struct worker_spawn limits = { r->k->settings->memory,
				       r->k->settings->max_bytes };
	cleanup_close int child_task = -1, child_out = -1;
	int pair[2], fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return err_sys(e, "socketpair");
	r->task = pair[0];
	child_task = pair[1];
	if (pipe2(fds, O_CLOEXEC))
		return err_sys(e, "pipe");
	r->out = fds[0];
	child_out = fds[1];
	return nursery_spawn(checkout_nursery(r->k), &r->k->user, &limits,
			     (const int[]){ child_task, child_out }, &r->pidfd, e);
}

static void
handle_note(struct run *r, const struct worker_frame *f)
{
	char line[WORKER_FRAME_MAX + 1];

	if (r->notes++ >= NOTES_MAX)
		return;
	worker_note_clean(f->data, f->len, line, sizeof(line));
	checkout_post(r->k, f->type == WORKER_WARNING ? CHECKOUT_WARNING
						      : CHECKOUT_NOTE, line, NULL);
}

static void
handle_error(struct run *r, const struct worker_frame *f)
{
	worker_error_decode(f->data, f->len, &r->err);
	r->finished = true;
}

static void
handle_result(struct run *r, const struct worker_frame *f)
{
	if (!worker_result_decode(f->data, f->len, r->sha))
		err_set(&r->err, ERR_PROTOCOL, "the git helper sent a bad result");
	r->finished = true;
}

static void (*const handlers[])(struct run *, const struct worker_frame *) = {
	[WORKER_NOTE] = handle_note,
	[WORKER_WARNING] = handle_note,
	[WORKER_ERROR] = handle_error,
	[WORKER_RESULT] = handle_result,
};

static int
handle_frames(struct run *r, struct err *e)
{
	struct worker_frame f;
	size_t used;
	int rc;

	while (!r->finished &&
	       (rc = worker_frame_next(strbuf_str(&r->in), r->in.len, &f, &used))) {
		if (rc < 0)
			return err_set(e, ERR_PROTOCOL, "the git helper sent bytes "
				       "that do not decode");
		handlers[f.type](r, &f);
		strbuf_consume(&r->in, used);
	}
	return 0;
}

/* 1: go on, 0: the child's end, -1 */
static int
read_some(struct run *r, struct err *e)
{
	char buf[8192];
	ssize_t n = read(r->out, buf, sizeof(buf));

	if (n < 0)
		return errno == EINTR ? 1 : err_sys(e, "output of the git helper");
	if (n == 0)
		return 0;
	strbuf_add(&r->in, buf, (size_t)n);
	return handle_frames(r, e) ? -1 : 1;
}

static int
check_patience(struct run *r, struct err *e)
{
	if (checkout_is_stopping(r->k))
		return err_set(e, ERR_CLOSED, "cancelled");
	if (clock_mono_ms() >= r->deadline)
		return err_set(e, ERR_TIMEOUT, "git: timed out after %llds",
			       (long long)r->k->settings->timeout_ms / 1000);
	return 0;
}

static int
watch(struct run *r, struct err *e)
{
	struct pollfd p[] = { { .fd = r->out, .events = POLLIN },
			      { .fd = r->k->cancel_fd, .events = POLLIN } };
	int rc = 1;

	while (rc > 0 && !r->finished) {
		int64_t left = r->deadline - clock_mono_ms();

		left = left < 0 ? 0 : left > TICK_MS ? TICK_MS : left;
		if (poll(p, ARRAY_LEN(p), (int)left) < 0 && errno != EINTR)
			return err_sys(e, "poll");
		/* What the child managed to say comes before our impatience. */
		rc = p[0].revents ? read_some(r, e) : 1;
		if (rc > 0 && !r->finished && check_patience(r, e))
			return -1;
	}
	if (rc == 0 && !r->finished)
		return err_set(e, ERR_INTERNAL, "the git helper died (out of memory, "
			       "or killed)");
	return rc < 0 ? -1 : 0;
}

/* Nothing of it may write into the workspace any more when we report. Its last frame
 * is the last thing that it does. */
static void
end_child(struct run *r)
{
	struct pollfd p = { .fd = r->pidfd, .events = POLLIN };

	if (r->pidfd < 0 || r->finished)
		return;
	syscall(SYS_pidfd_send_signal, r->pidfd, SIGKILL, NULL, 0);
	if (poll(&p, 1, KILL_WAIT_MS) <= 0)
		log_warn(LOG_WORKER, "a git helper takes long to end");
}

static int
run_task(struct run *r, struct err *e)
{
	struct worker_fetch t = { 0 };
	bool failed = build_task(r->k, &t, e) || spawn(r, e) ||
		      send_task(r->task, &t, e);

	worker_fetch_free(&t);
	return failed || watch(r, e) ? -1 : 0;
}

void
checkout_work(void *arg)
{
	struct checkout *k = arg;
	struct run r = { .k = k, .out = -1, .task = -1, .pidfd = -1 };
	struct err e = { 0 };
	int rc;

	r.deadline = clock_mono_ms() + k->settings->timeout_ms;
	rc = checkout_is_stopping(k) ? err_set(&e, ERR_CLOSED, "cancelled")
				     : run_task(&r, &e);
	end_child(&r);
	cleanup_close_(&r.out);
	cleanup_close_(&r.task);
	cleanup_close_(&r.pidfd);
	strbuf_free(&r.in);
	checkout_post(k, CHECKOUT_DONE, r.sha, rc ? &e : &r.err);
	checkout_unref(k);
}
