/*
 * What slipway-launch can do, asked whenever it begins to answer:
 *
 *     up → ask(NETWORK_NONE) → on_launched() → on_ended() → the same with
 *     NETWORK_ISOLATED → on_changed
 *     down → sandboxes do not work, for that reason → on_changed
 *
 * The questions are those of local_probe.c: the sandbox of a job around /bin/true. How
 * that ended is read from what bubblewrap tells of it, as for jobs. It tells that to a
 * memory file: a pipe that we had closed would kill bubblewrap's monitor, and its child
 * would wait for a word of it for ever. For that reason, too, a sandbox that nobody is
 * interested in any more is left to end by itself.
 */
#include "local.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "slipway/log.h"
#include "slipway/mem.h"

#define PATIENCE_MS 10000 /* for an answer, when the machine is busy */
#define PROBE_TIMEOUT_MS 3000
#define PROBE_TRIES 2

struct local_remote {
	struct runner *r;
	void (*on_changed)(void *arg);
	void *changed_arg;
	struct loop_timer *timer;
	enum spec_network network; /* what is asked about */
	unsigned tries;
	struct launcher_call *call;
	struct launched process; /* pid and pidfd -1: none */
	int status, errors;	 /* memory files; -1: none */
	struct loop_fd *watch;	 /* on its end */
};

static void ask(struct local_remote *m);

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(steal_fd(fd));
}

static void
free_watch(void *watch)
{
	loop_fd_free(watch);
}

/* Let go of the sandbox that was asked with. */
static void
drop(struct local_remote *m)
{
	if (m->call)
		launcher_forget(STEAL(m->call));
	if (m->watch) {
		loop_fd_set(m->watch, 0);
		loop_defer(m->r->loop, free_watch, STEAL(m->watch));
	}
	loop_timer_stop(m->timer);
	m->process.pid = -1;
	close_fd(&m->process.pidfd);
	close_fd(&m->status);
	close_fd(&m->errors);
}

static void
finish(struct local_remote *m)
{
	local_log_runner(m->r);
	m->on_changed(m->changed_arg);
}

static void
next(struct local_remote *m)
{
	bool was_none = m->network == NETWORK_NONE;

	if (!was_none || !m->r->sandbox_works || !m->r->slirp) {
		finish(m);
		return;
	}
	m->network = NETWORK_ISOLATED;
	m->tries = 0;
	ask(m);
}

static void
on_works(struct local_remote *m)
{
	if (m->network == NETWORK_NONE)
		m->r->sandbox_works = true;
	else
		m->r->isolated_works = true;
	drop(m);
	next(m);
}

/* Once may be a bad moment; the answer is kept for long. */
static void
on_works_not(struct local_remote *m, const char *why)
{
	struct runner *r = m->r;
	char said[200];
	ssize_t n = m->errors < 0 ? 0 : pread(m->errors, said, sizeof(said) - 1, 0);

	said[n > 0 ? n : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	drop(m);
	if (++m->tries < PROBE_TRIES) {
		ask(m);
		return;
	}
	if (m->network == NETWORK_NONE)
		snprintf(r->why, sizeof(r->why), "sandboxes do not work here: %s%s",
			 *said ? said : why, local_find_cure());
	else
		snprintf(r->isolated_why, sizeof(r->isolated_why),
			 "network isolated does not work here: %s", *said ? said : why);
	next(m);
}

static void
on_timeout(void *arg)
{
	struct local_remote *m = arg;

	/* All of it is in that session, until it is about to run. */
	local_bare_kill(m->process.pid);
	on_works_not(m, "no answer in time");
}

static void
on_ended(int fd, unsigned what, void *arg)
{
	struct local_remote *m = arg;
	struct local_status st;

	if (!local_status_read(m->status, &st, NULL) && st.has_exit && !st.exit_code)
		on_works(m);
	else
		on_works_not(m, "the sandbox did not run");
}

static void
on_launched(void *arg, const struct launched *l, const struct err *err)
{
	struct local_remote *m = arg;

	m->call = NULL;
	if (!err) {
		m->process = *l;
		m->watch = loop_fd_new(m->r->loop, l->pidfd, LOOP_READ, on_ended, m);
		loop_timer_set(m->timer, PROBE_TIMEOUT_MS);
	} else if (err->code == ERR_CLOSED || err->code == ERR_TIMEOUT) {
		drop(m); /* it went down, which is told by itself */
	} else {
		on_works_not(m, err->msg);
	}
}

static int
open_files(struct local_remote *m)
{
	m->status = memfd_create("slipway-status", MFD_CLOEXEC);
	m->errors = memfd_create("slipway-errors", MFD_CLOEXEC);
	return m->status < 0 || m->errors < 0 ? -1 : 0;
}

static void
ask(struct local_remote *m)
{
	struct runner *r = m->r;
	struct local_argv argv;
	struct local_args a = {
		.host = &r->host,
		.bwrap = r->bwrap,
		.init = r->init,
		.slirp = r->slirp,
		.root = r->root.path,
		.bind_init = !r->root.can_execute,
		.network = m->network,
		.disable_userns = r->disable_userns,
		.status = true,
	};
	struct err e = { 0 };

	if (open_files(m)) {
		err_sys(&e, "memory file");
		on_works_not(m, e.msg);
		return;
	}
	struct launch_fd fds[] = { { m->errors, 1 },
				   { m->errors, 2 },
				   { m->status, LOCAL_FD_STATUS } };
	struct launch_opts o = {
		.argv = argv.v,
		.fds = fds,
		.nfds = ARRAY_LEN(fds),
		.has_user = r->has_user,
		.uid = r->uid,
		.gid = r->gid,
		.setsid = true,
	};

	local_argv_build_probe(&argv, &a);
	m->call = launcher_start(r->launcher, &o, NULL, on_launched, m, &e);
	if (!m->call)
		on_works_not(m, e.msg);
}

static void
on_up(void *arg, const char *group)
{
	struct local_remote *m = arg;
	struct runner *r = m->r;

	STR_COPY(r->cgroup.parent, group);
	drop(m);
	m->tries = 0;
	m->network = NETWORK_NONE;
	r->sandbox_works = r->isolated_works = false;
	if (!r->bwrap || !r->bwrap_fits)
		finish(m);
	else
		ask(m);
}

/* What the groups told of sandboxes that run stays readable. */
static void
on_down(void *arg, const char *why)
{
	struct local_remote *m = arg;
	struct runner *r = m->r;

	drop(m);
	r->sandbox_works = r->isolated_works = false;
	if (r->bwrap_fits)
		STR_COPY(r->why, why);
	m->on_changed(m->changed_arg);
}

void
local_remote_open(struct runner *r, const struct runner_env *env)
{
	struct local_remote *m = xcalloc(1, sizeof(*m));
	const struct launcher_events ev = { on_up, on_down, m };

	m->r = r;
	m->on_changed = env->on_changed;
	m->changed_arg = env->changed_arg;
	m->process.pid = m->process.pidfd = m->status = m->errors = -1;
	m->timer = loop_timer_new(r->loop, on_timeout, m);
	snprintf(r->why, sizeof(r->why), "waiting for slipway-launch on %s",
		 env->launch_socket);
	r->remote = m;
	r->launcher = launcher_new(r->loop, env->launch_socket, PATIENCE_MS, &ev);
}

void
local_remote_close(struct runner *r)
{
	struct local_remote *m = STEAL(r->remote);

	if (!m)
		return;
	drop(m);
	launcher_free(STEAL(r->launcher));
	loop_timer_free(m->timer);
	free(m);
}
