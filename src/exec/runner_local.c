/*
 * The local runner: jobs in bubblewrap sandboxes on the daemon's own machine.
 *
 *     open()      probe: bubblewrap, slirp4netns, user namespaces, user, control group
 *     can_run()   compares, cheaply, with what the probe found
 *     start()     local_sandbox.c and local_launch.c
 *     close()     drops the runner once its last sandbox handle is gone
 */
#include "local.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "slipway/log.h"
#include "slipway/mem.h"

#define CAPACITY_MAX 1024

static unsigned
count_cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);

	return n > 0 ? (unsigned)n : 1;
}

static int
parse_network(const char *name, enum spec_network *out, struct err *e)
{
	static const enum spec_network all[] = { NETWORK_NONE, NETWORK_ISOLATED,
						 NETWORK_HOST };

	*out = NETWORK_ISOLATED;
	if (!name || !*name)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!strcmp(name, jobspec_network_name(all[i]))) {
			*out = all[i];
			return 0;
		}
	return err_set(e, ERR_INVALID, "network: there is no \"%s\"", name);
}

static void
runner_free(struct runner *r)
{
	local_remote_close(r);
	for (size_t i = 0; i < r->nlabels; i++)
		free(r->labels[i]);
	free(r->labels);
	free(r->name);
	free(r->bwrap);
	free(r->slirp);
	free(r->init);
	local_host_free(&r->host);
	local_etc_free(&r->etc);
	local_root_free(&r->root);
	if (r->seccomp_fd >= 0)
		close(r->seccomp_fd);
	if (r->resolv_fd >= 0)
		close(r->resolv_fd);
	free(r);
}

void
local_runner_unref(struct runner *r)
{
	if (!--r->refs)
		runner_free(r);
}

void
local_log_runner(const struct runner *r)
{
	if (local_is_bare(r))
		log_warn(LOG_EXEC,
			 "runner=%s jobs run WITHOUT a sandbox (allow_unsandboxed): %s",
			 r->name, r->why);
	else if (!r->sandbox_works)
		log_warn(LOG_EXEC, "runner=%s cannot run jobs: %s", r->name, r->why);
	else
		log_info(LOG_EXEC, "runner=%s bwrap=%s limits=%s", r->name, r->bwrap,
			 r->cgroup.parent[0] ? r->cgroup.parent : "rlimits");
	if (r->sandbox_works && !r->isolated_works)
		log_warn(LOG_EXEC, "runner=%s %s", r->name, r->isolated_why);
}

/* Without a sandbox only the parent learns how a job ended. */
static int
check_bare(const struct conf_runner *conf, const struct runner_env *env, struct err *e)
{
	if (!conf->allow_unsandboxed || !env->launch_socket || !*env->launch_socket)
		return 0;
	return err_field(e, ERR_INVALID, "allow_unsandboxed",
			 "allow_unsandboxed does not go with launch.socket");
}

static struct runner *
on_open(const struct conf_runner *conf, const struct runner_env *env, struct err *e)
{
	struct runner *r = xcalloc(1, sizeof(*r));

	r->refs = 1;
	r->seccomp_fd = r->resolv_fd = -1;
	r->loop = env->loop;
	r->name = xstrdup(conf->name);
	r->allow_unsandboxed = conf->allow_unsandboxed;
	r->capacity = count_cores();
	if (conf->capacity > 0)
		r->capacity = conf->capacity < CAPACITY_MAX ? (unsigned)conf->capacity
							    : CAPACITY_MAX;
	r->labels = xcalloc(conf->labels.n + 1, sizeof(*r->labels));
	while (r->nlabels < conf->labels.n) {
		r->labels[r->nlabels] = xstrdup(conf->labels.v[r->nlabels]);
		r->nlabels++;
	}
	if (check_bare(conf, env, e) || parse_network(conf->network, &r->network, e) ||
	    local_probe(r, conf, env, e)) {
		err_wrap(e, "runner %s", conf->name);
		local_runner_unref(r);
		return NULL;
	}
	if (!r->by_launch)
		local_log_runner(r);
	return r;
}

static void
on_begin(struct runner *r, const struct runner_env *env)
{
	if (r->by_launch)
		local_remote_open(r, env);
}

static void
on_close(struct runner *r)
{
	local_runner_unref(r);
}

static bool __attribute__((format(printf, 3, 4)))
refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return false;
}

static bool
has_label(const struct runner *r, const char *label)
{
	for (size_t i = 0; i < r->nlabels; i++)
		if (!strcmp(r->labels[i], label))
			return true;
	return false;
}

static bool
can_network(const struct runner *r, enum spec_network network, char *why, size_t size)
{
	if (network == NETWORK_DEFAULT)
		network = r->network;
	if (network == NETWORK_HOST)
		return true;
	if (local_is_bare(r))
		return refuse(why, size, "network %s needs a sandbox: %s",
			      jobspec_network_name(network), r->why);
	if (network == NETWORK_ISOLATED && !r->isolated_works)
		return refuse(why, size, "%s", r->isolated_why);
	return true;
}

static bool
on_can_run(struct runner *r, const struct job_needs *needs, char *why, size_t size)
{
	if (needs->runner[0] && strcmp(needs->runner, r->name) != 0)
		return refuse(why, size, "no runner is named %s", needs->runner);
	if (needs->image)
		return refuse(why, size, "no runner provides images");
	if (needs->gpus)
		return refuse(why, size, "no runner has GPUs");
	for (size_t i = 0; i < needs->nlabels; i++)
		if (!has_label(r, needs->labels[i]))
			return refuse(why, size, "no runner has label %s",
				      needs->labels[i]);
	if (!r->sandbox_works && !r->allow_unsandboxed)
		return refuse(why, size, "%s", r->why);
	return can_network(r, needs->network, why, size);
}

static unsigned
on_capacity(struct runner *r)
{
	return r->capacity;
}

static bool
on_job_user(struct runner *r, uid_t *uid, gid_t *gid)
{
	*uid = r->uid;
	*gid = r->gid;
	return r->has_user;
}

static void
on_name(struct runner *r, const char *job, unsigned attempt, char *out, size_t size)
{
	local_leaf_name(out, size, job, attempt);
}

const struct runner_ops runner_local_ops = {
	.type = "local",
	.open = on_open,
	.begin = on_begin,
	.close = on_close,
	.can_run = on_can_run,
	.capacity = on_capacity,
	.job_user = on_job_user,
	.name = on_name,
	.start = local_start,
	.attach = local_attach,
	.signal = local_signal,
	.remove = local_remove,
	.detach = local_detach,
	.describe = local_describe,
};
