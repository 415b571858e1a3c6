#include "local_fixture.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#define ISOLATION(name)                                                            \
	Test(runner_local_isolation, name, .init = fx_set_up, .fini = fx_tear_down, \
	     .timeout = 60)

/* Runs it to its end and returns what it printed. */
static const char *
output_of(const char *script, enum spec_network network)
{
	fx_start_with("j1", script, network);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_SUCCESS);
	fx_remove();
	return fx_output();
}

static void
skip_without_slirp(void)
{
	struct job_needs needs = { .network = NETWORK_ISOLATED };
	char why[300];

	if (!runner_local_ops.can_run(fx.runner, &needs, why, sizeof(why)))
		fx_skip(why);
}

ISOLATION(secrets_of_the_host_cannot_be_read)
{
	cr_assert_str_eq(output_of("for f in /etc/shadow /etc/ssh /root /home /var/lib "
				   "/run/systemd /sys /boot; do [ -e $f ] && echo $f; "
				   "done; id -u | grep -qx 0 && echo root; echo end",
				   NETWORK_NONE),
			 "end\n");
}

ISOLATION(the_state_directory_and_other_jobs_cannot_be_seen)
{
	cleanup_free char *other = xasprintf("%s/other", fx.state);
	cleanup_free char *script = xasprintf("[ -e %s ] && echo seen; ls -A /tmp; "
					      "ls -A /run; ls /", fx.state);

	cr_assert_eq(mkdir(other, 0777), 0);
	const char *out = output_of(script, NETWORK_NONE);

	cr_assert_null(strstr(out, "seen"), "%s", out);
	cr_assert_null(strstr(out, "slipway-runner"), "%s", out);
	cr_assert(strstr(out, "workspace"), "%s", out);
	cr_assert_null(strstr(out, "root"), "%s", out);
}

ISOLATION(processes_of_the_host_and_of_other_jobs_cannot_be_seen)
{
	/* PID 1 and the shell that lists them. */
	cr_assert_str_eq(output_of("set -- /proc/[0-9]*; echo $#; cat /proc/1/comm",
				   NETWORK_NONE),
			 "2\nslipway-init\n");
}

ISOLATION(a_job_has_no_capabilities_and_can_gain_none)
{
	cr_assert_str_eq(output_of("grep -E '^(Cap|NoNewPrivs|Seccomp:)' "
				   "/proc/self/status | tr -d '\\t '",
				   NETWORK_NONE),
			 "CapInh:0000000000000000\nCapPrm:0000000000000000\n"
			 "CapEff:0000000000000000\nCapBnd:0000000000000000\n"
			 "CapAmb:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n");
}

ISOLATION(nested_user_namespaces_are_refused)
{
	cr_assert_str_eq(output_of("unshare -U true 2>/dev/null || echo refused; "
				   "unshare -m true 2>/dev/null || echo refused",
				   NETWORK_NONE),
			 "refused\nrefused\n");
}

ISOLATION(the_evidence_and_the_spool_are_out_of_a_steps_reach)
{
	/* Its own: 0, 1, 2, and the directory that ls reads. */
	const char *out = output_of("ls /proc/self/fd | wc -l; "
				    "ls /proc/1/fd 2>/dev/null | wc -l; "
				    "echo x 2>/dev/null > /proc/1/fd/3 || true",
				    NETWORK_NONE);
	struct local_status st = fx_status();

	cr_assert_str_eq(out, "4\n0\n");
	cr_assert(st.has_exit);
}

ISOLATION(the_system_is_read_only_and_the_workspace_is_not)
{
	cr_assert_str_eq(output_of("for d in / /usr /etc /run /bin /var; do "
				   "touch $d/x 2>/dev/null && echo $d; done; "
				   "for d in /tmp /var/tmp /dev/shm $HOME . ..; do "
				   "touch $d/x || echo not $d; done; echo end",
				   NETWORK_NONE),
			 "end\n");
}

ISOLATION(the_directory_of_secrets_is_private_and_in_memory)
{
	cr_assert_str_eq(output_of("stat -c %a /run/slipway; "
				   "stat -f -c %T /run/slipway",
				   NETWORK_NONE),
			 "700\ntmpfs\n");
}

ISOLATION(limits_of_the_daemon_do_not_reach_jobs)
{
	cr_assert_str_eq(output_of("ulimit -c; [ $(ulimit -n) -le 1024 ] && echo few; "
				   "umask",
				   NETWORK_NONE),
			 "0\nfew\n0022\n");
}

ISOLATION(network_none_has_nothing_but_a_loopback)
{
	cr_assert_str_eq(output_of("tail -n +3 /proc/net/dev | cut -d: -f1 | "
				   "tr -d ' '; "
				   "[ -s /etc/resolv.conf ] && echo resolv; echo end",
				   NETWORK_NONE),
			 "lo\nend\n");
}

/* A listener, and a script that tries to reach it by an address. */
static int
listen_on(in_addr_t address, uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(address) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static char *
script_to_reach(const char *address, uint16_t port)
{
	return xasprintf("timeout 5 bash -c 'exec 3<>/dev/tcp/%s/%u' 2>/dev/null && "
			 "echo reached || echo not reached",
			 address, port);
}

ISOLATION(network_host_reaches_the_loopback_of_the_host)
{
	uint16_t port;
	cleanup_close int fd UNUSED = listen_on(INADDR_LOOPBACK, &port);
	cleanup_free char *script = script_to_reach("127.0.0.1", port);

	cr_assert_str_eq(output_of(script, NETWORK_HOST), "reached\n");
}

ISOLATION(network_isolated_does_not_reach_the_loopback_of_the_host)
{
	uint16_t port;
	cleanup_close int fd UNUSED = listen_on(INADDR_LOOPBACK, &port);
	cleanup_free char *own = script_to_reach("127.0.0.1", port);
	cleanup_free char *gateway = script_to_reach("10.0.2.2", port);
	cleanup_free char *script = xasprintf("%s\n%s\n", own, gateway);

	skip_without_slirp();
	cr_assert_str_eq(output_of(script, NETWORK_ISOLATED),
			 "not reached\nnot reached\n");
}

static bool
find_outer_address(char *out, size_t size)
{
	struct ifaddrs *all, *i;
	bool found = false;

	cr_assert_eq(getifaddrs(&all), 0);
	for (i = all; i && !found; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
		    !(i->ifa_flags & IFF_LOOPBACK) && (i->ifa_flags & IFF_UP)) {
			struct sockaddr_in *sa = (struct sockaddr_in *)i->ifa_addr;

			found = inet_ntop(AF_INET, &sa->sin_addr, out, (socklen_t)size);
		}
	freeifaddrs(all);
	return found;
}

ISOLATION(network_isolated_reaches_what_lies_outside)
{
	char address[INET_ADDRSTRLEN];
	uint16_t port;
	cleanup_close int fd UNUSED = listen_on(INADDR_ANY, &port);

	skip_without_slirp();
	if (!find_outer_address(address, sizeof(address)))
		fx_skip("this machine has a loopback only");
	cleanup_free char *script = script_to_reach(address, port);

	cr_assert_str_eq(output_of(script, NETWORK_ISOLATED), "reached\n");
}

ISOLATION(network_isolated_has_its_own_resolver)
{
	skip_without_slirp();
	cr_assert_str_eq(output_of("cat /etc/resolv.conf", NETWORK_ISOLATED),
			 "nameserver 10.0.2.3\n");
}

/* The slirp4netns that a supervisor started, or 0. */
static pid_t
find_slirp(pid_t supervisor)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	pid_t found = 0;

	while (!found && (d = readdir(proc))) {
		cleanup_free char *path = xasprintf("/proc/%s/stat", d->d_name);
		cleanup_file FILE *f =
			isdigit((unsigned char)d->d_name[0]) ? fopen(path, "r") : NULL;
		char name[32];
		int parent;

		if (f && fscanf(f, "%*d (%31[^)]) %*c %d", name, &parent) == 2 &&
		    parent == supervisor && !strcmp(name, "slirp4netns"))
			found = (pid_t)atoi(d->d_name);
	}
	closedir(proc);
	return found;
}

ISOLATION(nothing_is_left_of_the_network_after_the_end)
{
	char supervisor[32];

	skip_without_slirp();
	fx_start_with("j1", "echo begun; sleep 1000", NETWORK_ISOLATED);
	runner_local_ops.describe(fx.sandbox, supervisor, sizeof(supervisor));
	fx_run_until(fx_has_output);
	cr_assert_not(fx.exited, "%s", fx.exit.why);
	pid_t slirp = find_slirp((pid_t)atoi(supervisor + strlen("pid ")));

	cr_assert_gt(slirp, 0);
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_CANCELLED);
	cr_assert_eq(kill(slirp, 0), -1);
	fx_remove();
}

ISOLATION(a_network_that_cannot_be_made_is_told_before_a_job_starts)
{
	struct job_needs needs = { .network = NETWORK_ISOLATED };
	cleanup_free char *bin = xasprintf("%s/bin", fx.state);
	cleanup_free char *bwrap = xasprintf("%s/bin/bwrap", fx.state);
	cleanup_free char *slirp = xasprintf("%s/bin/slirp4netns", fx.state);
	struct err e = { 0 };
	char why[400];

	cr_assert_eq(mkdir(bin, 0755), 0);
	cr_assert_eq(symlink("/usr/bin/bwrap", bwrap), 0);
	cr_assert_eq(symlink("/bin/false", slirp), 0);
	setenv("PATH", bin, 1);
	runner_local_ops.close(fx.runner);
	fx.runner = fx_open(&fx.conf, &e);
	cr_assert_not(runner_local_ops.can_run(fx.runner, &needs, why, sizeof(why)));
	cr_assert(strstr(why, "network isolated does not work here: "), "%s", why);
	cr_assert(strstr(why, "slipway-init net: "), "%s", why);
	fx_start_with("j1", "echo begun", NETWORK_ISOLATED);
	fx_run_until(fx_has_begun);
	cr_assert(fx.start_failed);
	cr_assert_eq(fx.error.code, ERR_DENIED);
	fx_remove();
}

ISOLATION(a_network_that_breaks_later_is_lost_and_says_why)
{
	cleanup_free char *bin = xasprintf("%s/bin", fx.state);
	cleanup_free char *bwrap = xasprintf("%s/bin/bwrap", fx.state);
	cleanup_free char *slirp = xasprintf("%s/bin/slirp4netns", fx.state);
	struct err e = { 0 };

	skip_without_slirp();
	cr_assert_eq(mkdir(bin, 0755), 0);
	cr_assert_eq(symlink("/usr/bin/bwrap", bwrap), 0);
	cr_assert_eq(symlink("/usr/bin/slirp4netns", slirp), 0);
	setenv("PATH", bin, 1);
	runner_local_ops.close(fx.runner);
	fx.runner = fx_open(&fx.conf, &e);
	cr_assert_eq(unlink(slirp), 0);
	cr_assert_eq(symlink("/bin/false", slirp), 0);
	fx_start_with("j1", "echo begun", NETWORK_ISOLATED);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_LOST, 0);
	cr_assert(strstr(fx.exit.why, "slipway-init net:"), "%s", fx.exit.why);
	cr_assert_str_eq(fx_output(), "");
	fx_remove();
}

/* The same runner without bubblewrap, its jobs allowed to run bare. */
static void
set_up_bare(void)
{
	struct err e = { 0 };

	fx_set_up();
	runner_local_ops.close(fx.runner);
	setenv("PATH", "/nonexistent", 1);
	fx.conf.allow_unsandboxed = true;
	fx.runner = fx_open(&fx.conf, &e);
	cr_assert_not_null(fx.runner, "%s", e.msg);
}

#define BARE(name)                                                                   \
	Test(runner_local_bare, name, .init = set_up_bare, .fini = fx_tear_down,     \
	     .timeout = 60)

BARE(only_the_hosts_network_can_be_had)
{
	struct job_needs needs = { .network = NETWORK_ISOLATED };
	char why[300];

	cr_assert_not(runner_local_ops.can_run(fx.runner, &needs, why, sizeof(why)));
	cr_assert_str_eq(why, "network isolated needs a sandbox: "
			      "bubblewrap is not installed");
	needs.network = NETWORK_HOST;
	cr_assert(runner_local_ops.can_run(fx.runner, &needs, why, sizeof(why)));
}

BARE(a_job_runs_where_the_workspace_really_is)
{
	cleanup_free char *expected = NULL;

	fx_start_with("j1", "pwd; echo $HOME; [ -d ${SLIPWAY_ENV%/*} ] && echo secrets",
		      NETWORK_HOST);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_SUCCESS);
	expected = xasprintf("%s/repo\n%s/home\nsecrets\n", fx.workspace, fx.workspace);
	cr_assert_str_eq(fx_output(), expected);
	struct stat dir;

	cr_assert_eq(stat(fx.dir, &dir), 0);
	cleanup_free char *secrets = xasprintf("/dev/shm/slipway-%ju-%ju",
					       (uintmax_t)dir.st_dev,
					       (uintmax_t)dir.st_ino);

	cr_assert_eq(access(secrets, F_OK), 0);
	fx_remove();
	cr_assert_neq(access(secrets, F_OK), 0);
}

BARE(exit_codes_are_written_down_for_later_daemons)
{
	fx_start_with("j1", "exit 1", NETWORK_HOST);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_FAILURE);
	fx_remove();
	fx.exited = fx.removed = false;
	fx_attach();
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_FAILURE);
	fx_remove();
}

BARE(cancel_is_heard)
{
	fx_start_with("j1", "echo begun; sleep 1000", NETWORK_HOST);
	fx_run_until(fx_has_output);
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_CANCELLED);
	fx_remove();
}

BARE(kill_reaches_what_the_steps_started)
{
	fx_start_with("j1", "sleep 1000 & echo $!; wait", NETWORK_HOST);
	fx_run_until(fx_has_output);
	pid_t sleeper = (pid_t)atoi(fx_output());
	char state = 'X';

	cr_assert_gt(sleeper, 1);
	cr_assert_eq(kill(sleeper, 0), 0);
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_KILL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_LOST, 0);
	cleanup_free char *path = xasprintf("/proc/%d/stat", (int)sleeper);
	cleanup_file FILE *f = fopen(path, "r");

	if (f)
		cr_assert_eq(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	cr_assert(state == 'Z' || state == 'X', "%c", state);
	fx_remove();
}
