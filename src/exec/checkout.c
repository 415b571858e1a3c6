/*
 * checkout_start() -> fetch lane: checkout_work() -> events -> on_events() -> callbacks
 *
 * Notes and the end of a checkout come to the loop through one queue with its own
 * eventfd, so that they stay in order and nothing dangles when the module is freed
 * before the pool or after it.
 */
#include "slipway/checkout.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "checkout_priv.h"
#include "slipway/log.h"
#include "slipway/mem.h"

struct event {
	STAILQ_ENTRY(event) next;
	struct checkout *k; /* held by the list until its CHECKOUT_DONE was handled */
	enum checkout_event what;
	struct err err;
	char text[];
};
STAILQ_HEAD(events, event);

struct checkouts {
	atomic_uint refs; /* the owner's, and one per checkout */
	struct loop *loop;
	struct pool *pool;
	char *state_dir;
	struct nursery *nursery;
	struct checkout_settings *settings; /* NULL before the first configure */
	LIST_HEAD(, checkout) live;
	struct loop_fd *watch;
	int wake_fd;
	pthread_mutex_t lock;
	struct events events; /* under lock */
	bool closed;	      /* under lock */
};

static void
copy_strings(struct conf_strings *to, const struct conf_strings *from)
{
	to->n = from->n;
	to->v = xcalloc(from->n + 1, sizeof(*to->v));
	for (size_t i = 0; i < from->n; i++)
		to->v[i] = xstrdup(from->v[i]);
}

static void
free_strings(struct conf_strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
}

static char *
copy_optional(const char *s)
{
	return xstrdup(s ? s : "");
}

/* Helpers run in the root directory. */
static char *
make_absolute(const char *path)
{
	cleanup_free char *cwd = *path == '/' ? NULL : getcwd(NULL, 0);

	return cwd ? xasprintf("%s/%s", cwd, path) : xstrdup(path);
}

static struct checkout_settings *
settings_new(const struct conf *conf)
{
	struct checkout_settings *s = xcalloc(1, sizeof(*s));

	s->refs = 1;
	copy_strings(&s->hosts, &conf->git_allow_hosts);
	copy_strings(&s->roots, &conf->git_local_roots);
	s->timeout_ms = conf->limits_fetch_timeout_ms;
	s->max_bytes = (uint64_t)conf->limits_fetch_bytes;
	s->max_objects = (uint64_t)conf->limits_fetch_objects;
	s->memory = (uint64_t)conf->limits_helper_memory;
	s->ncredentials = conf->ngit_credentials;
	s->credentials = xcalloc(s->ncredentials + 1, sizeof(*s->credentials));
	for (size_t i = 0; i < s->ncredentials; i++) {
		const struct conf_credential *from = &conf->git_credentials[i];
		struct checkout_credential *to = &s->credentials[i];

		to->match = copy_optional(from->match);
		to->username = copy_optional(from->username);
		to->token_file = copy_optional(from->token_file);
		to->ssh_key_file = copy_optional(from->ssh_key_file);
		to->known_hosts_file = copy_optional(from->known_hosts_file);
	}
	return s;
}

static void
settings_unref(struct checkout_settings *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	free_strings(&s->hosts);
	free_strings(&s->roots);
	for (size_t i = 0; i < s->ncredentials; i++) {
		free(s->credentials[i].match);
		free(s->credentials[i].username);
		free(s->credentials[i].token_file);
		free(s->credentials[i].ssh_key_file);
		free(s->credentials[i].known_hosts_file);
	}
	free(s->credentials);
	free(s);
}

static void
checkouts_unref(struct checkouts *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	nursery_free(c->nursery);
	settings_unref(c->settings);
	close(c->wake_fd);
	pthread_mutex_destroy(&c->lock);
	free(c->state_dir);
	free(c);
}

void
checkout_unref(struct checkout *k)
{
	if (atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	settings_unref(k->settings);
	checkouts_unref(k->c);
	close(k->cancel_fd);
	free(k->repo);
	free(k->commit);
	free(k->branch);
	free(k->dest);
	free(k->state_dir);
	free(k);
}

struct nursery *
checkout_nursery(const struct checkout *k)
{
	return k->c->nursery;
}

bool
checkout_is_stopping(const struct checkout *k)
{
	/* A freed module has cancelled all; its pool may be gone by then. */
	return atomic_load(&k->cancelled) || pool_is_stopping(k->c->pool);
}

void
checkout_post(struct checkout *k, enum checkout_event what, const char *text,
	      const struct err *err)
{
	struct checkouts *c = k->c;
	size_t len = strlen(text);
	struct event *ev = xcalloc(1, sizeof(*ev) + len + 1);
	bool wake = false;

	ev->k = k;
	ev->what = what;
	if (err)
		ev->err = *err;
	memcpy(ev->text, text, len + 1);
	pthread_mutex_lock(&c->lock);
	if (c->closed) {
		free(ev);
	} else {
		wake = STAILQ_EMPTY(&c->events);
		STAILQ_INSERT_TAIL(&c->events, ev, next);
	}
	pthread_mutex_unlock(&c->lock);
	if (wake)
		eventfd_write(c->wake_fd, 1);
}

static void
handle_done(struct event *ev)
{
	struct checkout *k = ev->k;
	bool failed = ev->err.code != ERR_NONE;

	LIST_REMOVE(k, next);
	k->on_done(k->arg, failed ? &ev->err : NULL, failed ? NULL : ev->text);
	checkout_unref(k);
}

static void
on_events(int fd, unsigned what, void *arg)
{
	struct checkouts *c = arg;
	struct events list = STAILQ_HEAD_INITIALIZER(list);
	struct event *ev;
	eventfd_t n;

	eventfd_read(fd, &n);
	pthread_mutex_lock(&c->lock);
	STAILQ_CONCAT(&list, &c->events);
	pthread_mutex_unlock(&c->lock);
	while ((ev = STAILQ_FIRST(&list))) {
		STAILQ_REMOVE_HEAD(&list, next);
		if (ev->what == CHECKOUT_DONE)
			handle_done(ev);
		else if (ev->k->on_note)
			ev->k->on_note(ev->k->arg, ev->text,
				       ev->what == CHECKOUT_WARNING);
		free(ev);
	}
}

struct checkouts *
checkouts_new(struct loop *l, struct pool *p, const char *state_dir,
	      const char *libexec_dir, struct err *e)
{
	cleanup_free char *libexec = make_absolute(libexec_dir);
	cleanup_free char *program = xasprintf("%s/slipway-worker", libexec);
	struct checkouts *c;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0) {
		err_sys(e, "eventfd");
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->refs = 1;
	c->loop = l;
	c->pool = p;
	c->state_dir = make_absolute(state_dir);
	c->nursery = nursery_new(program);
	c->wake_fd = fd;
	LIST_INIT(&c->live);
	STAILQ_INIT(&c->events);
	pthread_mutex_init(&c->lock, NULL);
	c->watch = loop_fd_new(l, fd, LOOP_READ, on_events, c);
	return c;
}

void
checkouts_free(struct checkouts *c)
{
	struct checkout *k;
	struct event *ev;

	if (!c)
		return;
	loop_fd_free(c->watch);
	pthread_mutex_lock(&c->lock);
	c->closed = true;
	while ((ev = STAILQ_FIRST(&c->events))) {
		STAILQ_REMOVE_HEAD(&c->events, next);
		free(ev);
	}
	pthread_mutex_unlock(&c->lock);
	while ((k = LIST_FIRST(&c->live))) {
		LIST_REMOVE(k, next);
		checkout_cancel(k);
		checkout_unref(k);
	}
	checkouts_unref(c);
}

void
checkouts_configure(struct checkouts *c, const struct conf *conf)
{
	settings_unref(c->settings);
	c->settings = settings_new(conf);
}

static void
on_work_done(void *arg)
{
	/* The end came as an event, behind the last note. */
}

struct checkout *
checkout_start(struct checkouts *c, const struct checkout_req *r)
{
	struct checkout *k = xcalloc(1, sizeof(*k));
	struct err e = { 0 };

	k->refs = 2;
	k->c = c;
	k->repo = xstrdup(r->repo);
	k->commit = copy_optional(r->commit);
	k->branch = copy_optional(r->branch);
	k->dest = make_absolute(r->dest);
	k->state_dir = xstrdup(c->state_dir);
	k->depth = (uint32_t)r->depth;
	k->submodules = r->submodules;
	k->user = (struct nursery_user){ r->has_user, r->uid, r->gid };
	k->on_note = r->on_note;
	k->on_done = r->on_done;
	k->arg = r->arg;
	k->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	k->settings = c->settings;
	if (k->settings)
		atomic_fetch_add(&k->settings->refs, 1);
	atomic_fetch_add(&c->refs, 1);
	LIST_INSERT_HEAD(&c->live, k, next);
	if (!k->settings)
		err_set(&e, ERR_INTERNAL, "checkouts are not configured");
	else if (k->cancel_fd < 0)
		err_sys(&e, "eventfd");
	else
		pool_submit(c->pool, POOL_FETCH, checkout_work, on_work_done, k, &e);
	if (e.code != ERR_NONE) {
		checkout_post(k, CHECKOUT_DONE, "", &e);
		checkout_unref(k);
	}
	return k;
}

void
checkout_cancel(struct checkout *k)
{
	atomic_store(&k->cancelled, true);
	eventfd_write(k->cancel_fd, 1);
}
