#include <stddef.h>

#include "api_openapi.h"

/* What is submitted */

static const struct openapi_field job_spec[] = {
	{ "id", "string(1..128)", "its name; made up when not given" },
	{ "repo!", "string(1..1024)", "where to clone from" },
	{ "commit!", "string(1..255)", "a SHA, or the name of a branch or tag" },
	{ "branch", "string(1..255)", "the branch that the commit is on" },
	{ "steps!", "[1..200]StepSpec", "run one after another" },
	{ "env", "{}string(0..32768)", "variables of all steps" },
	{ "secrets", "Secrets", "secrets of all steps" },
	{ "cacheKeys", "[0..32]string", "lock files; without effect yet" },
	{ "timeout", "integer(0..2592000)", "seconds, for all steps together" },
	{ "priority", "integer(0..10)", "10 goes first" },
	{ "image", "string(1..255)", "a container image" },
	{ "runner", "string(1..63)", "only on the runner of this name" },
	{ "labels", "[0..16]string(1..128)", "only on runners that have all of these" },
	{ "environment", "string(1..128)", "a deployment target" },
	{ "resources", "Resources", "" },
	{ "retry", "Retry", "when it is queued again by itself" },
	{ "network", "enum(none,isolated,host)", "isolated: outgoing only" },
	{ "depth", "integer(0..1)", "0: with the whole history" },
	{ "submodules", "boolean", "check them out, too" },
	{ .name = NULL },
};

static const struct openapi_field step_spec[] = {
	{ "name!", "string(1..128)", "" },
	{ "run!", "string(1..65536)", "what the shell runs" },
	{ "workingDir", "string(1..1024)", "default /workspace/repo" },
	{ "env", "{}string(0..32768)", "variables of this step" },
	{ "secrets", "Secrets", "secrets of this step" },
	{ "continueOnError", "boolean", "its failure counts as a warning" },
	{ "timeout", "integer(0..2592000)", "seconds; 0: as long as the job may take" },
	{ "when", "enum(on_success,always)", "always: after a failure, too" },
	{ "shell", "string(1..64)", "gets -e -c and the script; default sh" },
	{ .name = NULL },
};

static const struct openapi_field secret_file[] = {
	{ "name!", "string(1..64)", "the secret" },
	{ "file", "boolean", "the variable holds the path of a file with it" },
	{ .name = NULL },
};

static const struct openapi_field resources[] = {
	{ "cpus", "number(0..1024)", "processors" },
	{ "memory", "integer(1048576..)|string", "bytes, or as in 512MiB" },
	{ "pids", "integer(1..1000000)", "processes at once" },
	{ "gpus", "integer(0..64)", "graphics processors" },
	{ .name = NULL },
};

static const struct openapi_field retry[] = {
	{ "on", "[]enum(failure,timeout,infra)", "an empty list switches it off" },
	{ "limit", "integer(0..10)", "how often" },
	{ "lost", "boolean", "after the sandbox vanished, too" },
	{ .name = NULL },
};

static const struct openapi_field job_ref[] = {
	{ "jobId!", "string(1..)", "the job" },
	{ .name = NULL },
};

static const struct openapi_field retry_ref[] = {
	{ "jobId!", "string(1..)", "the job" },
	{ "resume", "boolean", "true is not supported yet" },
	{ .name = NULL },
};

static const struct openapi_field why[] = {
	{ "reason", "string(0..200)", "for people: shown wherever a job waits for it" },
	{ .name = NULL },
};

static const struct openapi_field nothing[] = { { .name = NULL } };

/* What is answered */

static const struct openapi_field error[] = {
	{ "error!", "string(1..)", "for people" },
	{ "code!", "string(1..)", "for programs" },
	{ "field", "string(1..)", "what is at fault, as steps[0].run" },
	{ .name = NULL },
};

static const struct openapi_field message[] = {
	{ "message!", "string(1..)", "" },
	{ .name = NULL },
};

static const struct openapi_field submitted[] = {
	{ "message!", "=Job queued", "" },
	{ "jobId!", "string(1..128)", "" },
	{ "url!", "string(1..)", "where its status is" },
	{ "queuePosition!", "integer(0..)", "0: it does not wait any more" },
	{ .name = NULL },
};

static const struct openapi_field validated[] = {
	{ "valid!", "boolean", "" },
	{ "plan!", "Plan", "what the job would do" },
	{ .name = NULL },
};

static const struct openapi_field plan[] = {
	{ "id", "string", "" },
	{ "repo!", "string", "" },
	{ "commit!", "string", "" },
	{ "branch", "string", "" },
	{ "environment", "string", "" },
	{ "steps!", "[1..200]PlanStep", "" },
	{ "timeout!", "integer(0..)", "s" },
	{ "priority!", "integer(0..10)", "" },
	{ "network!", "enum(none,isolated,host)", "" },
	{ "needs!", "PlanNeeds", "what a runner must have" },
	{ "env", "[]string", "names of variables" },
	{ "secrets", "[]string", "names of secrets" },
	{ "warnings!", "[]string", "for people" },
	{ .name = NULL },
};

static const struct openapi_field plan_step[] = {
	{ "name!", "string", "" },
	{ "run!", "string", "" },
	{ "workingDir!", "string", "" },
	{ "shell!", "string", "" },
	{ "timeout!", "integer(0..)", "s" },
	{ "continueOnError!", "boolean", "" },
	{ "when", "=always", "" },
	{ "env", "[]string", "names of variables" },
	{ "secrets", "[]string", "names of secrets" },
	{ .name = NULL },
};

static const struct openapi_field plan_needs[] = {
	{ "labels!", "[]string", "" },	{ "runner", "string", "" },
	{ "image", "string", "" },	{ "network!", "enum(none,isolated,host)", "" },
	{ "gpus", "integer(1..)", "" }, { .name = NULL },
};

static const struct openapi_field job[] = {
	{ "id!", "string(1..128)", "" },
	{ "status!", "State", "" },
	{ "currentStep", "integer(0..)", "index of the step that runs" },
	{ "queuedAt!", "integer(0..)", "" },
	{ "startedAt", "integer(0..)", "" },
	{ "finishedAt", "integer(0..)", "" },
	{ "duration", "integer(0..)", "from startedAt to finishedAt" },
	{ "reason", "Reason", "why it ended so" },
	{ "error", "string", "the same for people" },
	{ "waitReason", "string", "what a queued job waits for" },
	{ "queuePosition", "integer(1..)", "" },
	{ "etaMs", "integer(0..)",
	  "until it starts, about: by how long the last jobs took" },
	{ "attempt!", "integer(1..)", "" },
	{ "attempts", "[]Attempt", "the last 20; not in lists" },
	{ "phase", "Phase", "of a running job" },
	{ "runner", "string", "" },
	{ "sandboxId", "string", "" },
	{ "repo!", "string", "" },
	{ "commit!", "string", "as asked for, then the SHA" },
	{ "branch", "string", "" },
	{ "priority!", "integer(0..10)", "" },
	{ "warnings!", "integer(0..)", "steps that failed and may" },
	{ "trigger!", "string", "what it came from" },
	{ "url!", "string", "" },
	{ "logUrl!", "string", "" },
	{ "steps!", "[]Step", "" },
	{ "resourceUsage", "Usage", "" },
	{ .name = NULL },
};

static const struct openapi_field step[] = {
	{ "name!", "string", "" },
	{ "status!", "enum(pending,running,success,failure,skipped)", "" },
	{ "output", "string", "its last 64 KiB; not in lists" },
	{ "exitCode", "integer", "" },
	{ "continueOnError", "boolean", "" },
	{ "duration", "integer(0..)", "" },
	{ "startedAt", "integer(0..)", "" },
	{ "finishedAt", "integer(0..)", "" },
	{ .name = NULL },
};

static const struct openapi_field attempt[] = {
	{ "number!", "integer(1..)", "" },
	{ "status!", "State", "" },
	{ "reason", "Reason", "" },
	{ "error", "string", "" },
	{ "runner", "string", "" },
	{ "sandboxId", "string", "" },
	{ "commit", "string", "the SHA" },
	{ "queuedAt", "integer(0..)", "" },
	{ "startedAt", "integer(0..)", "" },
	{ "finishedAt", "integer(0..)", "" },
	{ "duration", "integer(0..)", "" },
	{ "resourceUsage", "Usage", "" },
	{ .name = NULL },
};

static const struct openapi_field usage[] = {
	{ "cpuTime!", "integer(0..)", "ms" },
	{ "memoryPeak!", "integer(0..)", "bytes" },
	{ .name = NULL },
};

static const struct openapi_field cancelled[] = {
	{ "cancelled!", "boolean", "" },
	{ "reason", "string", "why not" },
	{ .name = NULL },
};

static const struct openapi_field health[] = {
	{ "status!", "enum(ok,paused,draining,unavailable)", "" },
	{ "reason", "string", "why not ok" },
	{ "service!", "=slipway", "" },
	{ "mode!", "enum(production,dev)", "" },
	{ "timestamp!", "string", "ISO 8601" },
	{ "version!", "string", "" },
	{ "queued!", "integer(0..)", "jobs that wait" },
	{ "running!", "integer(0..)", "jobs that run" },
	{ "slots!", "integer(0..)", "jobs that may run at once" },
	{ "connections!", "integer(0..)", "to this server, those of streams included" },
	{ "streams!", "integer(0..)", "of these, readers of logs" },
	{ "store!", "StoreHealth", "" },
	{ "audit!", "enum(ok,failing)", "" },
	{ "uptime!", "integer(0..)", "s" },
	{ .name = NULL },
};

static const struct openapi_field store_health[] = {
	{ "fill!", "integer(0..100)", "percent of limits.db_size" },
	{ .name = NULL },
};

#define QUEUE_STATE                                                                    \
	{ "state!", "enum(open,paused,draining)", "" },                                \
		{ "by", "string", "who asked for it last" },                           \
		{ "reason", "string", "and why" }, { "since", "integer(0..)", "" },    \
		{ "queued!", "integer(0..)", "jobs that wait" },                       \
		{ "running!", "integer(0..)", "jobs that run" },                       \
	{                                                                              \
		"slots!", "integer(0..)", "jobs that may run at once"                  \
	}

static const struct openapi_field queue_state[] = { QUEUE_STATE, { .name = NULL } };

static const struct openapi_field admin_status[] = {
	QUEUE_STATE,
	{ "stateDir!", "string", "where the server keeps everything" },
	{ "publicUrl", "string", "" },
	{ "dev!", "boolean", "it runs with --dev" },
	{ .name = NULL },
};

static const struct openapi_field reloaded[] = {
	{ "reloaded!", "boolean", "" },
	{ "restartNeeded!", "[]string", "keys whose change waits for a restart" },
	{ .name = NULL },
};

static const struct openapi_field maintained[] = {
	{ "dryRun!", "boolean", "nothing was deleted" },
	{ "jobs!", "MaintainedJobs", "" },
	{ .name = NULL },
};

static const struct openapi_field maintained_jobs[] = {
	{ "deleted!", "integer(0..)", "how many" },
	{ "ids!", "[0..100]string", "the first of them" },
	{ .name = NULL },
};

static const struct openapi_field token_spec[] = {
	{ "name!", "string(1..64)", "what it is called" },
	{ "scopes!", "[1..3]Scope", "what it may do; each includes those before it" },
	{ "expires", "string|integer(0..)", "after such a time: 30d, 12h, or seconds" },
	{ .name = NULL },
};

static const struct openapi_field new_token[] = {
	{ "name!", "string", "" },
	{ "token!", "string", "what to send as Authorization: Bearer" },
	{ "scopes!", "[]Scope", "" },
	{ "expiresAt", "integer(0..)", "" },
	{ .name = NULL },
};

static const struct openapi_field token[] = {
	{ "name!", "string", "" },
	{ "scopes!", "[]Scope", "" },
	{ "createdAt", "integer(0..)", "" },
	{ "expiresAt", "integer(0..)", "never when it is missing" },
	{ "lastUsedAt", "integer(0..)", "to the minute or so" },
	{ "expired", "boolean", "" },
	{ .name = NULL },
};

static const struct openapi_field token_ref[] = {
	{ "name!", "string(1..64)", "" },
	{ .name = NULL },
};

static const struct openapi_field revoked[] = {
	{ "revoked!", "boolean", "" },
	{ .name = NULL },
};

static const struct openapi_field lines[] = {
	{ "id!", "string", "" },
	{ "attempt!", "integer(0..)", "" },
	{ "total!", "integer(0..)", "lines known so far" },
	{ "complete!", "boolean", "there will be no more" },
	{ "end!", "integer(0..)", "for after" },
	{ "steps!", "[]any", "the line that each step begins with, or null" },
	{ "lines", "[]Line", "" },
	{ "found", "any", "the line that was looked for, or null" },
	{ "next", "any", "where to look on, or null" },
	{ .name = NULL },
};

static const struct openapi_field line[] = {
	{ "n!", "integer(1..)", "its number" },
	{ "step", "integer(0..)", "the index of its step" },
	{ "stream!", "enum(stdout,stderr,note,error,step)", "" },
	{ "time!", "integer(0..)", "" },
	{ "text!", "string", "without escape sequences" },
	{ "spans", "[]any", "colours: from, length, classes" },
	{ "open", "boolean", "it may still grow" },
	{ .name = NULL },
};

static const struct openapi_field changes[] = {
	{ "version!", "string", "" },
	{ .name = NULL },
};

const struct openapi_schema openapi_schemas[] = {
	{ "JobSpec", "A job to be run", .fields = job_spec, .closed = true },
	{ "StepSpec", "A step of it", .fields = step_spec, .closed = true },
	{ "Secrets", "Names, or names by variable",
	  .type = "[]string(1..64)|{}SecretRef" },
	{ "SecretRef", "A secret's name, or how it is wanted",
	  .type = "string(1..64)|SecretFile" },
	{ "SecretFile", "A secret in a file", .fields = secret_file, .closed = true },
	{ "Resources", "What the job may use", .fields = resources, .closed = true },
	{ "Retry", "When the job is queued again by itself", .fields = retry,
	  .closed = true },
	{ "JobRef", "A job", .fields = job_ref, .closed = true },
	{ "RetryRef", "A job to be run again", .fields = retry_ref, .closed = true },
	{ "Why", "Why", .fields = why, .closed = true },
	{ "Nothing", "No fields; no body at all is fine, too", .fields = nothing,
	  .closed = true },
	{ "Error", "What was wrong", .fields = error },
	{ "Message", "A word for people", .fields = message },
	{ "Submitted", "A job that was queued", .fields = submitted },
	{ "Validated", "A job that would be accepted", .fields = validated },
	{ "Plan", "A job with all defaults", .fields = plan },
	{ "PlanStep", "A step with all defaults", .fields = plan_step },
	{ "PlanNeeds", "What a runner must have", .fields = plan_needs },
	{ "State", "The state of a job",
	  .type = "enum(queued,running,success,failure,timeout,cancelled)" },
	{ "Reason", "Why a job did not succeed",
	  .type = "enum(step_failed,step_timeout,job_timeout,cancelled,clone_failed,"
		  "image_failed,runner_lost,oom,disk_full,internal,secret_missing)" },
	{ "Phase", "What an attempt is at",
	  .type = "enum(fetch,start,steps,verdict,clean,done)" },
	{ "Flag", "A switch", .type = "enum(0,1,false,true)" },
	{ "Job", "The job status object", .fields = job },
	{ "Step", "A step of it", .fields = step },
	{ "Attempt", "An attempt of it", .fields = attempt },
	{ "Usage", "What it used", .fields = usage },
	{ "Cancelled", "Whether it was cancelled", .fields = cancelled },
	{ "Health", "How the server is", .fields = health },
	{ "StoreHealth", "How its store is", .fields = store_health },
	{ "QueueState", "Whether jobs start", .fields = queue_state },
	{ "AdminStatus", "The same, and where things are", .fields = admin_status },
	{ "Reloaded", "What a reload did", .fields = reloaded },
	{ "Lines", "A window of a log", .fields = lines },
	{ "Line", "A line of it", .fields = line },
	{ "Changes", "What pages show", .fields = changes },
	{ "Scope", "What a token may do", .type = "enum(read,submit,admin)" },
	{ "TokenSpec", "A token to be made", .fields = token_spec, .closed = true },
	{ "NewToken", "A token that was made", .fields = new_token },
	{ "Token", "What is known of a token", .fields = token },
	{ "TokenRef", "A token", .fields = token_ref, .closed = true },
	{ "Revoked", "That it was revoked", .fields = revoked },
	{ "Maintained", "What maintenance deleted", .fields = maintained },
	{ "MaintainedJobs", "Jobs that went", .fields = maintained_jobs },
	{ .name = NULL },
};
