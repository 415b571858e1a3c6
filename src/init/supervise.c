/*
 * Phases:
 *
 *   set up: signals blocked and read from a signalfd, one timerfd, the masks
 *   job-start, the first step
 *   loop: signals -> sequence_child_ended, sequence_cancel, sequence_abort
 *         timer, and after every turn -> sequence_tick, late output
 *         pipes -> output_read
 *   the end: kill and reap everything, read what is left in the pipes, job-end
 */
#include "supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "reap.h"
#include "run.h"
#include "sequence.h"
#include "stepenv.h"
#include "util.h"

enum { POLL_SIGNAL, POLL_TIMER, POLL_OUTPUTS };

struct supervise {
	struct run run;
	bool pid1;
	unsigned terms; /* SIGTERMs so far */
	int signal_fd, timer_fd;
	uint64_t armed; /* what the timer is set to, 0: off */
	struct pollfd *polls;
	size_t polls_cap;
};

static int
supervise_set_signals(struct supervise *sv)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGPIPE, SIGXFSZ };
	sigset_t set;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGQUIT);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -1;
	sv->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return sv->signal_fd < 0 ? -1 : 0;
}

static bool
supervise_set_masks(struct run *run, const struct plan *plan)
{
	cleanup_free struct mask_secret *secrets = NULL;

	secrets = util_alloc((plan->nmasks + 1) * sizeof(*secrets));
	for (size_t i = 0; i < plan->nmasks; i++)
		secrets[i] = (struct mask_secret){ plan->masks[i].data,
						   plan->masks[i].len };
	run->mask = mask_new(secrets, plan->nmasks);
	return run->mask && output_sink_init(&run->sink, &run->spool, run->mask,
					     plan->log_max);
}

/* Nothing may start without its masks, and no note may go out. */
static int
supervise_set_up(struct supervise *sv, const struct plan *plan)
{
	if (!supervise_set_masks(&sv->run, plan)) {
		fputs("slipway-init: out of memory\n", stderr);
		return -1;
	}
	if (supervise_set_signals(sv) < 0) {
		run_fail(&sv->run, "cannot read signals: %s", strerror(errno));
		return -1;
	}
	sv->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (sv->timer_fd < 0) {
		run_fail(&sv->run, "cannot make a timer: %s", strerror(errno));
		return -1;
	}
	if (!sv->pid1 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		run_fail(&sv->run, "cannot adopt orphans: %s", strerror(errno));
		return -1;
	}
	return 0;
}

static void
supervise_arm(struct supervise *sv)
{
	uint64_t at = sequence_deadline(&sv->run);
	struct itimerspec spec = { 0 };

	for (size_t i = 0; i < sv->run.noutputs; i++) {
		uint64_t flush_at = sv->run.outputs[i]->flush_at;

		if (flush_at && (!at || flush_at < at))
			at = flush_at;
	}
	/* Too early is harmless, and under load saves a system call per turn. */
	if (!at || (sv->armed && sv->armed <= at))
		return;
	spec.it_value.tv_sec = (time_t)(at / 1000);
	spec.it_value.tv_nsec = (long)(at % 1000) * 1000000L;
	if (timerfd_settime(sv->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		run_fail(&sv->run, "cannot set the timer: %s", strerror(errno));
	sv->armed = at;
}

static void
on_timer(struct supervise *sv)
{
	uint64_t count;

	if (read(sv->timer_fd, &count, sizeof(count)) > 0)
		sv->armed = 0;
}

static void
on_sigchld(struct supervise *sv)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
		sequence_child_ended(&sv->run, pid, status, &usage);
}

/*
 * Inside the sandbox a step may signal us as it likes; only what comes from outside
 * the PID namespace, whose sender has no number here, is an order. kill(2) cannot
 * forge that number, other ways of signalling carry another code.
 */
static bool
supervise_is_order(const struct supervise *sv, const struct signalfd_siginfo *si)
{
	if (!sv->pid1)
		return true;
	return si->ssi_pid == 0 && (si->ssi_code == SI_USER ||
				    si->ssi_code == SI_KERNEL);
}

static void
on_signal(struct supervise *sv)
{
	struct signalfd_siginfo si;

	while (read(sv->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			on_sigchld(sv);
			continue;
		}
		if (!supervise_is_order(sv, &si))
			continue;
		if (si.ssi_signo == SIGTERM && sv->terms++ == 0) {
			sequence_cancel(&sv->run);
			continue;
		}
		run_set_verdict(&sv->run, INIT_EXIT_CANCELLED);
		sequence_abort(&sv->run);
	}
}

static void
supervise_flush_late(struct run *run, uint64_t now)
{
	for (size_t i = 0; i < run->noutputs; i++) {
		struct output *o = run->outputs[i];

		if (o->flush_at && now >= o->flush_at)
			output_flush(o, &run->sink);
	}
}

static size_t
supervise_fill_polls(struct supervise *sv)
{
	const struct run *run = &sv->run;
	size_t n = POLL_OUTPUTS + run->noutputs;

	if (n > sv->polls_cap) {
		sv->polls_cap = 2 * n;
		sv->polls = util_realloc(sv->polls,
					 sv->polls_cap * sizeof(*sv->polls));
	}
	sv->polls[POLL_SIGNAL] = (struct pollfd){ sv->signal_fd, POLLIN, 0 };
	sv->polls[POLL_TIMER] = (struct pollfd){ sv->timer_fd, POLLIN, 0 };
	for (size_t i = 0; i < run->noutputs; i++)
		sv->polls[POLL_OUTPUTS + i] =
			(struct pollfd){ run->outputs[i]->fd, POLLIN, 0 };
	return n;
}

static void
supervise_turn(struct supervise *sv)
{
	size_t n = supervise_fill_polls(sv);
	uint64_t now;

	if (poll(sv->polls, n, -1) < 0 && errno != EINTR) {
		run_fail(&sv->run, "cannot wait for events: %s", strerror(errno));
		return;
	}
	now = util_now_ms();
	if (sv->polls[POLL_TIMER].revents)
		on_timer(sv);
	for (size_t i = 0; i + POLL_OUTPUTS < n; i++)
		if (sv->polls[POLL_OUTPUTS + i].revents)
			output_read(sv->run.outputs[i], &sv->run.sink, now);
	run_drop_ended(&sv->run);
	if (sv->polls[POLL_SIGNAL].revents)
		on_signal(sv);
	supervise_flush_late(&sv->run, now);
	sequence_tick(&sv->run, now);
}

static void
supervise_end_outputs(struct run *run)
{
	for (size_t i = 0; i < run->noutputs; i++) {
		struct output *o = run->outputs[i];
		struct pollfd p = { o->fd, POLLIN, 0 };

		while (!o->ended && poll(&p, 1, 0) > 0)
			output_read(o, &run->sink, 0);
		if (!o->ended)
			output_end(o, &run->sink);
	}
	run_drop_ended(run);
}

static void
supervise_finish(struct supervise *sv)
{
	struct run *run = &sv->run;
	uint8_t verdict;

	if (!reap_everything(sv->pid1))
		run_note(run, FRAME_NO_STEP, FRAME_ERROR,
			 "some processes could not be killed");
	supervise_end_outputs(run);
	stepenv_remove_files(run);
	verdict = (uint8_t)run->verdict;
	spoolw_frame(&run->spool, &(struct spoolw_frame){
					  .type = FRAME_JOB_END,
					  .step = FRAME_NO_STEP,
					  .payload = &verdict,
					  .len = sizeof(verdict),
				  });
	if (run->spool.failed) {
		fprintf(stderr, "slipway-init: cannot write the spool: %s\n",
			strerror(run->spool.failed));
		run_set_verdict(run, INIT_EXIT_INTERNAL);
	}
}

static void
supervise_job(struct supervise *sv)
{
	struct run *run = &sv->run;
	const uint8_t nsteps[2] = { (uint8_t)run->plan->nsteps,
				    (uint8_t)(run->plan->nsteps >> 8) };

	spoolw_frame(&run->spool, &(struct spoolw_frame){
					  .type = FRAME_JOB_START,
					  .step = FRAME_NO_STEP,
					  .payload = nsteps,
					  .len = sizeof(nsteps),
				  });
	sequence_begin(run);
	sequence_tick(run, util_now_ms());
	while (!run->spool.failed && !sequence_is_over(run)) {
		supervise_arm(sv);
		supervise_turn(sv);
	}
	supervise_finish(sv);
}

static void
supervise_clear(struct supervise *sv)
{
	struct run *run = &sv->run;

	output_sink_clear(&run->sink);
	mask_free(run->mask);
	free(run->outputs);
	environ_clear(&run->added);
	envfile_remove(&run->step.envfile);
	free(sv->polls);
	if (sv->signal_fd >= 0)
		close(sv->signal_fd);
	if (sv->timer_fd >= 0)
		close(sv->timer_fd);
	close(run->spool.fd);
}

int
supervise_run(const struct plan *plan, int spool_fd, int oom_fd)
{
	struct supervise sv = {
		.run = {
			.plan = plan,
			.secrets_dir = plan->secrets_dir[0] ? plan->secrets_dir
							    : "/tmp",
			.oom_fd = oom_fd,
		},
		.pid1 = getpid() == 1,
		.signal_fd = -1,
		.timer_fd = -1,
	};

	spoolw_init(&sv.run.spool, spool_fd);
	if (supervise_set_up(&sv, plan) == 0)
		supervise_job(&sv);
	else
		sv.run.verdict = INIT_EXIT_INTERNAL;
	supervise_clear(&sv);
	return sv.run.verdict;
}
