/*
 * One sandbox, from start() or attach() to its removal.
 *
 *     start()   launch; on_process_ended() is next     attach()  look() at once
 *               by slipway-launch: on_launched() is first. Did it not tell how that
 *               went, look_unsure() until the evidence does
 *     look()    lock held: watch what can be watched, else look again, ever more rarely
 *               lock free: settle()
 *     settle()  exit code: it ended. None: kill what is left, then it is lost
 *     signal()  nudge() until PID 1 is there to hear it
 *     remove()  kill, wait for settle(), remove the control group
 *
 * Callbacks to the owner leave through on_due() only, deferred; there the handle is
 * freed, too. On the way from start to exit nothing is read but when something happens.
 */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define BACKOFF_FIRST_MS 1
#define BACKOFF_MAX_MS 250
/* Should the monitor of an adopted sandbox die alone, nothing else would tell. */
#define BACKSTOP_MS 5000
#define GROUP_TRIES 40
#define KILLED_BY_SIGNAL 128 /* bubblewrap reports signals as shells do */

#define DUE_STARTED 1u
#define DUE_EXIT 2u
#define DUE_REMOVED 4u

struct sandbox {
	struct runner *r;
	struct sandbox_events ev;
	char *dir;
	char leaf[160];
	struct launched process; /* pid -1 when adopted */
	struct launcher_call *call; /* slipway-launch was asked for it */
	int errors;
	int status_fd; /* for reading, open once it was needed */
	struct local_status status;
	int child; /* pidfd of PID 1, once it was needed */
	struct loop_fd *process_watch, *child_watch;
	struct loop_timer *look_timer, *nudge_timer;
	unsigned look_ms, nudge_ms;
	unsigned group_tries;
	int wanted; /* signal that still has to be sent */
	unsigned due;
	bool bare;     /* there is no bubblewrap around it */
	bool queued;   /* on_due() is deferred */
	bool ended;    /* nothing of it runs */
	bool unsure;   /* does it exist? */
	bool lost;     /* decided; only the killing is not over */
	bool removing; /* remove() was called */
	bool dead;     /* the owner let go */
	struct err error;
	struct sandbox_exit exit;
};

static void look(struct sandbox *s);
static void look_unsure(struct sandbox *s);
static void clean(struct sandbox *s);
static void on_look_due(void *arg);
static void on_nudge_due(void *arg);

static struct sandbox *
sandbox_new(struct runner *r, const char *job, unsigned attempt, const char *dir,
	    const struct sandbox_events *ev)
{
	struct sandbox *s = xcalloc(1, sizeof(*s));

	s->r = r;
	r->refs++;
	s->ev = *ev;
	s->dir = xstrdup(dir);
	local_leaf_name(s->leaf, sizeof(s->leaf), job, attempt);
	s->process.pid = s->process.pidfd = s->errors = s->status_fd = s->child = -1;
	s->look_timer = loop_timer_new(r->loop, on_look_due, s);
	s->nudge_timer = loop_timer_new(r->loop, on_nudge_due, s);
	return s;
}

static void
stop_watching(struct sandbox *s)
{
	loop_timer_stop(s->look_timer);
	loop_timer_stop(s->nudge_timer);
	if (s->process_watch)
		loop_fd_set(s->process_watch, 0);
	if (s->child_watch)
		loop_fd_set(s->child_watch, 0);
}

static void
sandbox_free(struct sandbox *s)
{
	const int fds[] = { s->process.pidfd, s->errors, s->status_fd, s->child };

	loop_fd_free(s->process_watch);
	loop_fd_free(s->child_watch);
	loop_timer_free(s->look_timer);
	loop_timer_free(s->nudge_timer);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	local_runner_unref(s->r);
	free(s->dir);
	free(s);
}

static bool
take_due(struct sandbox *s, unsigned what)
{
	bool is_due = (s->due & what) && !s->dead;

	s->due &= ~what;
	return is_due;
}

static void
on_due(void *arg)
{
	struct sandbox *s = arg;

	s->queued = false;
	if (take_due(s, DUE_STARTED))
		s->ev.on_started(s->ev.arg, s->error.code ? &s->error : NULL);
	if (take_due(s, DUE_EXIT) && !s->removing)
		s->ev.on_exit(s->ev.arg, &s->exit);
	if (take_due(s, DUE_REMOVED)) {
		s->ev.on_removed(s->ev.arg);
		s->dead = true;
	}
	if (s->dead && !s->queued)
		sandbox_free(s);
}

static void
set_due(struct sandbox *s, unsigned what)
{
	s->due |= what;
	if (s->queued)
		return;
	s->queued = true;
	loop_defer(s->r->loop, on_due, s);
}

/* The first line of what it said on standard error, for people. */
static void
read_errors(struct sandbox *s, char *out, size_t size)
{
	ssize_t n = s->errors < 0 ? -1 : pread(s->errors, out, size - 1, 0);

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static void
finish(struct sandbox *s, enum sandbox_end end, int code, const char *why)
{
	char said[200];

	s->ended = true;
	s->exit.end = end;
	s->exit.code = code;
	s->exit.oom = cgroup_leaf_had_oom(&s->r->cgroup, s->leaf);
	if (end == SANDBOX_LOST || code == INIT_EXIT_INTERNAL)
		read_errors(s, said, sizeof(said));
	else
		said[0] = '\0';
	snprintf(s->exit.why, sizeof(s->exit.why), "%s%s%s", why,
		 *why && *said ? ": " : "", said);
	stop_watching(s);
	if (s->removing)
		clean(s);
	else
		set_due(s, DUE_EXIT);
}

static bool
open_status(struct sandbox *s)
{
	if (s->status_fd < 0)
		s->status_fd = local_status_open(s->dir, NULL);
	return s->status_fd >= 0;
}

/* Read again what is on disk. False: not even that is possible any more. */
static bool
refresh(struct sandbox *s)
{
	struct local_status now;
	struct err e = { 0 };

	if (!open_status(s))
		return false;
	if (local_status_read(s->status_fd, &now, &e))
		log_warn(LOG_EXEC, "sandbox=%s %s", s->leaf, e.msg);
	s->status = now;
	s->bare = now.child && !now.pid_ns;
	return true;
}

static enum local_child
find_child(struct sandbox *s)
{
	if (s->child < 0)
		return local_status_find_child(&s->status, &s->child);
	return local_status_has_ended(s->child) ? LOCAL_CHILD_GONE : LOCAL_CHILD_LIVES;
}

static void
kill_child(struct sandbox *s)
{
	pidfd_send_signal(s->child, SIGKILL, NULL, 0);
	if (s->bare)
		local_bare_kill(s->status.child);
}

static void
on_child_ended(int fd, unsigned what, void *arg)
{
	struct sandbox *s = arg;

	loop_fd_set(s->child_watch, 0);
	s->look_ms = BACKOFF_FIRST_MS;
	/* What a bare slipway-init leaves behind when it is killed. */
	if (s->bare)
		local_bare_kill(s->status.child);
	look(s);
}

static void
watch_child(struct sandbox *s)
{
	if (!s->child_watch)
		s->child_watch = loop_fd_new(s->r->loop, s->child, LOOP_READ,
					     on_child_ended, s);
}

static void
settle_lost(struct sandbox *s)
{
	char why[80] = "it left no exit code";

	if (s->status.has_exit)
		snprintf(why, sizeof(why), "slipway-init was killed by signal %d",
			 s->status.exit_code - KILLED_BY_SIGNAL);
	else if (!s->status.child)
		snprintf(why, sizeof(why), "it ended before it began");
	else if (strcmp(s->status.boot_id, clock_boot_id()) != 0)
		snprintf(why, sizeof(why), "the machine was restarted");
	finish(s, SANDBOX_LOST, 0, why);
}

/* The monitor is gone. */
static void
settle(struct sandbox *s)
{
	if (s->status.has_exit && s->status.exit_code < KILLED_BY_SIGNAL) {
		finish(s, SANDBOX_EXITED, s->status.exit_code, "");
		return;
	}
	enum local_child child = find_child(s);

	if (child == LOCAL_CHILD_UNSURE)
		log_warn(LOG_EXEC, "sandbox=%s pid=%d may still run: it cannot be told",
			 s->leaf, (int)s->status.child);
	if (child != LOCAL_CHILD_LIVES) {
		settle_lost(s);
		return;
	}
	if (!s->lost)
		log_warn(LOG_EXEC, "sandbox=%s lost its monitor, killing pid=%d",
			 s->leaf, (int)s->status.child);
	s->lost = true;
	kill_child(s);
	watch_child(s);
	loop_timer_set(s->look_timer, BACKOFF_MAX_MS);
}

static unsigned
next_backoff(unsigned ms)
{
	return ms * 2 < BACKOFF_MAX_MS ? ms * 2 : BACKOFF_MAX_MS;
}

static void
look(struct sandbox *s)
{
	if (s->ended)
		return;
	if (!open_status(s)) {
		finish(s, SANDBOX_LOST, 0, "its status file is gone");
		return;
	}
	/* In this order: nothing is written any more once the lock is free. */
	bool held = local_status_is_held(s->status_fd);

	refresh(s);
	/* Locks do not survive a restart of the machine, whoever holds this one. */
	if (!held || strcmp(s->status.boot_id, clock_boot_id()) != 0) {
		settle(s);
		return;
	}
	if (find_child(s) == LOCAL_CHILD_LIVES) {
		watch_child(s);
		loop_timer_set(s->look_timer, BACKSTOP_MS);
		return;
	}
	if (!s->look_ms)
		s->look_ms = BACKOFF_FIRST_MS;
	loop_timer_set(s->look_timer, s->look_ms);
	s->look_ms = next_backoff(s->look_ms);
}

static void
on_look_due(void *arg)
{
	struct sandbox *s = arg;

	if (s->ended)
		clean(s);
	else if (s->unsure)
		look_unsure(s);
	else
		look(s);
}

/* Only a parent is told how a bare slipway-init ended: write it down for all others. */
static void
reap(struct sandbox *s)
{
	struct err e = { 0 };
	siginfo_t info = { 0 };

	/* Before reaping: until then the session's number is nobody else's. */
	if (s->bare)
		local_bare_kill(s->process.pid);
	if (s->r->launcher)
		return;
	if (waitid(P_PIDFD, (id_t)s->process.pidfd, &info, WEXITED | WNOHANG))
		log_warn(LOG_EXEC, "sandbox=%s cannot reap: %s", s->leaf,
			 strerror(errno));
	if (s->bare && info.si_code == CLD_EXITED &&
	    local_status_note_exit(s->dir, info.si_status, &e))
		log_error(LOG_EXEC, "sandbox=%s %s", s->leaf, e.msg);
}

static void
on_process_ended(int fd, unsigned what, void *arg)
{
	struct sandbox *s = arg;

	loop_fd_set(s->process_watch, 0);
	reap(s);
	look(s);
}

static void
begin(struct sandbox *s, const struct launched *process)
{
	s->process = *process;
	s->process_watch = loop_fd_new(s->r->loop, s->process.pidfd, LOOP_READ,
				       on_process_ended, s);
}

static void
begin_not(struct sandbox *s)
{
	err_wrap(&s->error, "cannot start the sandbox");
	s->ended = true;
	set_due(s, DUE_STARTED);
	if (s->removing)
		clean(s);
}

/* It may exist, be on its way, or never come. Its lock is held until that is settled:
 * a message under way holds it, too. Nothing of a job runs before its child is noted. */
static void
look_unsure(struct sandbox *s)
{
	bool held = refresh(s) && local_status_is_held(s->status_fd);

	if (!held)
		refresh(s);
	if (s->status.child) {
		s->unsure = false;
		s->error = (struct err){ 0 };
		set_due(s, DUE_STARTED);
		look(s);
	} else if (held) {
		loop_timer_set(s->look_timer, s->look_ms);
		s->look_ms = next_backoff(s->look_ms);
	} else {
		local_status_remove(s->dir);
		s->error.code = ERR_CONNECT;
		begin_not(s);
	}
}

static void
on_launched(void *arg, const struct launched *process, const struct err *err)
{
	struct sandbox *s = arg;

	s->call = NULL;
	if (!err) {
		begin(s, process);
		set_due(s, DUE_STARTED);
		return;
	}
	s->error = *err;
	if (err->code == ERR_CLOSED || err->code == ERR_TIMEOUT) {
		log_warn(LOG_EXEC, "sandbox=%s %s", s->leaf, err->msg);
		s->unsure = true;
		s->look_ms = BACKOFF_FIRST_MS;
		look_unsure(s);
		return;
	}
	local_status_remove(s->dir);
	begin_not(s);
}

struct sandbox *
local_start(struct runner *r, const struct sandbox_start *st,
	    const struct sandbox_events *ev)
{
	struct sandbox *s = sandbox_new(r, st->job, st->attempt, st->dir, ev);
	struct local_started started = { { -1, -1 }, -1, on_launched, s, NULL };

	if (local_launch(r, st, s->leaf, &started, &s->error)) {
		begin_not(s);
		return s;
	}
	s->bare = local_is_bare(r);
	s->errors = started.errors;
	s->call = started.call;
	if (s->call)
		return s;
	begin(s, &started.process);
	set_due(s, DUE_STARTED);
	return s;
}

struct sandbox *
local_attach(struct runner *r, const char *job, unsigned attempt, const char *dir,
	     const struct sandbox_events *ev)
{
	struct sandbox *s = sandbox_new(r, job, attempt, dir, ev);
	struct err e = { 0 };

	s->status_fd = local_status_open(dir, &e);
	if (s->status_fd < 0 && e.code == ERR_NOT_FOUND)
		finish(s, SANDBOX_NEVER, 0, "");
	else if (s->status_fd < 0)
		finish(s, SANDBOX_LOST, 0, e.msg);
	else
		look(s);
	return s;
}

/*
 * Until slipway-init has taken over PID 1 the kernel throws a SIGTERM away. It reads
 * its signals from a descriptor, so it has them blocked; bubblewrap has not.
 */
static bool
is_listening(pid_t pid)
{
	char path[40], data[4096];
	uint64_t blocked = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data) - 1);

	data[n > 0 ? n : 0] = '\0';
	const char *line = strstr(data, "\nSigBlk:");

	return line && sscanf(line, "\nSigBlk: %" SCNx64, &blocked) == 1 &&
	       (blocked & (1ull << (SIGTERM - 1)));
}

/* True when there is nothing more to be done about the wanted signal. */
static bool
try_signal(struct sandbox *s)
{
	if (!refresh(s))
		return true;
	enum local_child child = find_child(s);

	if (child == LOCAL_CHILD_UNSURE)
		log_warn(LOG_EXEC, "sandbox=%s pid=%d is not proven ours: no signal",
			 s->leaf, (int)s->status.child);
	if (child != LOCAL_CHILD_LIVES)
		return s->status.child != 0;
	if (s->wanted == RUNNER_SIGNAL_KILL) {
		kill_child(s);
		return true;
	}
	if (s->status.cancel_sent)
		return true;
	if (!is_listening(s->status.child))
		return false;
	if (!pidfd_send_signal(s->child, SIGTERM, NULL, 0))
		local_status_note_cancel(s->dir, NULL);
	return true;
}

static void
nudge(struct sandbox *s)
{
	if (s->ended || !s->wanted)
		return;
	if (try_signal(s)) {
		s->wanted = 0;
		return;
	}
	loop_timer_set(s->nudge_timer, s->nudge_ms);
	s->nudge_ms = next_backoff(s->nudge_ms);
}

static void
on_nudge_due(void *arg)
{
	nudge(arg);
}

void
local_signal(struct sandbox *s, int what)
{
	if (what > s->wanted)
		s->wanted = what;
	s->nudge_ms = BACKOFF_FIRST_MS;
	nudge(s);
}

static void
clean(struct sandbox *s)
{
	if (s->r->launcher)
		launcher_remove_group(s->r->launcher, s->leaf);
	else if (!cgroup_leaf_remove(&s->r->cgroup, s->leaf)) {
		if (++s->group_tries < GROUP_TRIES) {
			loop_timer_set(s->look_timer, s->group_tries);
			return;
		}
		log_warn(LOG_EXEC, "sandbox=%s its control group stays", s->leaf);
	}
	if (s->bare)
		local_bare_clean(s->dir);
	set_due(s, DUE_REMOVED);
}

void
local_remove(struct sandbox *s)
{
	if (s->removing)
		return;
	s->removing = true;
	if (s->ended)
		clean(s);
	else
		local_signal(s, RUNNER_SIGNAL_KILL);
}

void
local_detach(struct sandbox *s)
{
	s->dead = true;
	if (s->call)
		launcher_forget(s->call);
	stop_watching(s);
	set_due(s, 0);
}

void
local_describe(struct sandbox *s, char *out, size_t size)
{
	pid_t pid = s->status.child ? s->status.child : s->process.pid;

	if (pid > 0)
		snprintf(out, size, "pid %d", (int)pid);
	else
		snprintf(out, size, "no process");
}
