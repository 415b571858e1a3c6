#include <stddef.h>

#include "api_openapi.h"

static const struct openapi_field list_query[] = {
	{ "status", "State", "of this state only" },
	{ "repo", "string(1..1024)", "of this repository only, as it was submitted" },
	{ "branch", "string(1..255)", "of this branch only" },
	{ "since", "integer(0..)", "submitted at this time or later" },
	{ "limit", "integer(1..200)", "so many at most; default 50" },
	{ "cursor", "integer(0..)", "from the Link of the page before" },
	{ .name = NULL },
};

static const struct openapi_field status_query[] = {
	{ "id!", "string(1..128)", "the job" },
	{ "wait", "integer(0..60)",
	  "seconds to wait for the next change of status, phase or current step" },
	{ .name = NULL },
};

static const struct openapi_field logs_query[] = {
	{ "id!", "string(1..128)", "the job" },
	{ "step", "string(1..)", "of this step only: its name, or its index from 0" },
	{ "attempt", "integer(1..)",
	  "of this attempt; default: the present one, and its successors" },
	{ "offset", "string(1..)", "from this place on, an event's id" },
	{ "tail", "integer(0..100000)", "from about so many lines before the end on" },
	{ "follow", "Flag",
	  "stay until the job has ended; default: yes for events, no for text" },
	{ "format", "enum(sse,text)", "default: what Accept asks for, else sse" },
	{ "timestamps", "Flag", "lines of text begin with their time" },
	{ .name = NULL },
};

static const struct openapi_field maintenance_query[] = {
	{ "dryRun", "Flag", "only tell what would go" },
	{ .name = NULL },
};

static const struct openapi_field audit_query[] = {
	{ "limit", "integer(0..1000)", "so many at most" },
	{ .name = NULL },
};

static const struct openapi_field login_query[] = {
	{ "next", "string", "where to go then" },
	{ "error", "string", "there: the last try failed" },
	{ .name = NULL },
};

static const struct openapi_field lines_query[] = {
	{ "id!", "string(1..128)", "the job" },
	{ "attempt", "integer(1..)", "of this attempt; default: the present one" },
	{ "from", "integer(0..)", "the first line; 0 is 1, too" },
	{ "count", "integer(0..2000)", "so many at most; default 500" },
	{ "tail", "integer(0..2000)", "the last so many instead" },
	{ "find", "string(1..200)", "where is the first line with this text" },
	{ "after", "integer(0..)", "end of an earlier answer" },
	{ "wait", "integer(0..60)", "seconds to wait for more than that" },
	{ .name = NULL },
};

static const struct openapi_field changes_query[] = {
	{ "id", "string(1..128)", "of this job only" },
	{ "seen", "string", "a version that is known" },
	{ "wait", "integer(0..60)", "seconds to wait for another" },
	{ .name = NULL },
};

static const struct openapi_field job_page_query[] = {
	{ "attempt", "integer(0..)", "default, and 0: the present one" },
	{ "from", "integer(0..)", "the log from this line on; default, and 0: its end" },
	{ "part", "string", "only a part of the page" },
	{ .name = NULL },
};

static const struct openapi_field dashboard_query[] = {
	{ "status", "State", "jobs of this state only" },
	{ "repo", "string", "of this repository only" },
	{ "branch", "string", "of this branch only" },
	{ "cursor", "integer(0..)", "from the page before" },
	{ .name = NULL },
};

const struct openapi_route openapi_routes[] = {
	{ HTTP_GET, "/", "read", "getRoot",
	  "Name and version; browsers are sent to the dashboard",
	  .answers = { { 200, "text/plain", "One line" },
		       { 302, "text/plain", "To the dashboard" } } },
	{ HTTP_GET, "/health", "", "getHealth",
	  "Whether the server is able to accept and run jobs",
	  .answers = { { 200, "Health", "It is, or would be if it were not paused" },
		       { 503, "Health", "It is not; reason says why" } } },
	{ HTTP_GET, "/health/ready", "", "getReady",
	  "The same, for load balancers and supervisors",
	  .answers = { { 200, "Health", "Ready" }, { 503, "Health", "Not ready" } } },
	{ HTTP_GET, "/health/stream", "", "getHealthStream",
	  "Three events, 400 ms apart: tells whether a proxy holds back streams",
	  .answers = { { 200, "text/event-stream", "Events called beat" } } },
	{ HTTP_GET, "/openapi.json", "read", "getOpenapi", "This document",
	  .answers = { { 200, "any", "OpenAPI 3.1" } } },

	{ HTTP_POST, "/jobs/submit", "submit", "submitJob", "Queue a job",
	  .body = "JobSpec",
	  .answers = { { 202, "Submitted", "Queued, and on disk" },
		       { 200, "Submitted", "The same id and job as before" } },
	  .errors = "400 409 413 415 503" },
	{ HTTP_POST, "/jobs/validate", "submit", "validateJob",
	  "Check a job without queueing it", .body = "JobSpec",
	  .answers = { { 200, "Validated", "It would be accepted" } },
	  .errors = "400 413 415" },
	{ HTTP_GET, "/jobs", "read", "listJobs",
	  "Jobs, newest first, without the output of their steps; a Link header with "
	  "rel=next names the next page",
	  .query = list_query, .answers = { { 200, "[]Job", "One page" } },
	  .errors = "400" },
	{ HTTP_GET, "/jobs/status", "read", "getJobStatus",
	  "One job, with an ETag; wait makes it a long poll", .query = status_query,
	  .answers = { { 200, "Job", "The job" },
		       { 304, NULL, "As If-None-Match has it" } },
	  .errors = "400 404" },
	{ HTTP_GET, "/jobs/logs", "read", "streamLogs",
	  "The log: Server-Sent Events (messages are output; step, note, status, end), or "
	  "text. Last-Event-ID goes on behind that event",
	  .query = logs_query,
	  .answers = { { 200, "text/event-stream text/plain", "The log" } },
	  .errors = "400 404" },
	{ HTTP_GET, "/jobs/lines", "read", "getLines",
	  "Lines of the log by their numbers; wait makes it a long poll",
	  .query = lines_query, .answers = { { 200, "Lines", "A window of the log" } },
	  .errors = "400 404" },
	{ HTTP_POST, "/jobs/cancel", "submit", "cancelJob",
	  "Stop a job; answers once its processes are gone", .body = "JobRef",
	  .answers = { { 200, "Cancelled", "Whether it was" } }, .errors = "400 415" },
	{ HTTP_POST, "/jobs/retry", "submit", "retryJob",
	  "Queue a finished job again, as its next attempt", .body = "RetryRef",
	  .answers = { { 202, "Submitted", "Queued, and on disk" } },
	  .errors = "400 404 409 415 503" },

	{ HTTP_POST, "/worker", "admin", "scheduleNow",
	  "Look for work now; there is never a need to", .body = "Nothing",
	  .answers = { { 202, "Message", "It is done" } }, .errors = "400 415" },
	{ HTTP_GET, "/admin/status", "admin", "getAdminStatus",
	  "Whether the queue is paused or drained, and where things are",
	  .answers = { { 200, "AdminStatus", "The state" } } },
	{ HTTP_POST, "/admin/pause", "admin", "pauseQueue",
	  "Start no more jobs; submissions are accepted. Survives restarts",
	  .body = "Why", .answers = { { 200, "QueueState", "The new state" } },
	  .errors = "400 415" },
	{ HTTP_POST, "/admin/drain", "admin", "drainQueue",
	  "Start and accept no more jobs; running ones go on. Survives restarts",
	  .body = "Why", .answers = { { 200, "QueueState", "The new state" } },
	  .errors = "400 415" },
	{ HTTP_POST, "/admin/resume", "admin", "resumeQueue",
	  "The end of pause and drain", .body = "Nothing",
	  .answers = { { 200, "QueueState", "The new state" } }, .errors = "400 415" },
	{ HTTP_POST, "/admin/reload", "admin", "reloadConfig",
	  "Read the configuration again, as SIGHUP does", .body = "Nothing",
	  .answers = { { 200, "Reloaded", "It is in force" } },
	  .errors = "400 409 415" },
	{ HTTP_POST, "/admin/maintenance", "admin", "runMaintenance",
	  "Delete what is older than the configured retention, now",
	  .query = maintenance_query, .body = "Nothing",
	  .answers = { { 200, "Maintained", "What went" } }, .errors = "400 415 503" },

	{ HTTP_GET, "/admin/tokens", "admin", "listTokens", "The access tokens",
	  .answers = { { 200, "[]Token", "Without what they open doors with" } } },
	{ HTTP_POST, "/admin/tokens", "admin", "createToken", "Make an access token",
	  .body = "TokenSpec",
	  .answers = { { 201, "NewToken", "The only time that it is shown" } },
	  .errors = "400 409 415" },
	{ HTTP_POST, "/admin/tokens/revoke", "admin", "revokeToken",
	  "Take a token away; it opens nothing any more", .body = "TokenRef",
	  .answers = { { 200, "Revoked", "It is gone" } }, .errors = "400 404 415" },
	{ HTTP_GET, "/admin/audit", "admin", "getAuditLog",
	  "The last entries of the audit log, oldest first", .query = audit_query,
	  .answers = { { 200, "[]any", "Entries" } }, .errors = "400 503" },

	{ HTTP_GET, "/login", "", "getLogin", "The page to log in with a token",
	  .query = login_query, .answers = { { 200, "text/html", "The page" } },
	  .errors = "400", .page = true },
	{ HTTP_POST, "/login", "", "login", "A session for a browser: fields token, next",
	  .body = "application/x-www-form-urlencoded",
	  .answers = { { 303, NULL, "To next, or back to the page" } },
	  .errors = "400 415 429", .page = true },
	{ HTTP_POST, "/logout", "", "logout", "The end of the session",
	  .body = "application/x-www-form-urlencoded",
	  .answers = { { 303, NULL, "To the page to log in" } }, .errors = "400 415",
	  .page = true },
	{ HTTP_GET, "/dashboard", "read", "getDashboard", "The list of jobs as a page",
	  .query = dashboard_query, .answers = { { 200, "text/html", "The page" } },
	  .errors = "400", .page = true },
	{ HTTP_GET, "/dashboard/changes", "read", "getChanges",
	  "What the pages show, as a version; wait makes it a long poll",
	  .query = changes_query, .answers = { { 200, "Changes", "The version" } },
	  .errors = "400" },
	{ HTTP_GET, "/dashboard/jobs/", "read", "getJobPage",
	  "A job, its steps and its log as a page", .query = job_page_query,
	  .rest = "the job's id", .answers = { { 200, "text/html", "The page" } },
	  .errors = "400 404", .page = true },
	{ HTTP_POST, "/dashboard/jobs/", "submit", "pressButton",
	  "The buttons of that page", .rest = "the job's id, and /cancel or /retry",
	  .body = "application/x-www-form-urlencoded",
	  .answers = { { 303, NULL, "Back to the page" } },
	  .errors = "400 403 404 409 415", .page = true },
	{ HTTP_GET, "/ui/", "", "getUiFile", "Style and script of the pages",
	  .rest = "a file's name, behind a hash of it",
	  .answers = { { 200, "text/css text/javascript image/svg+xml", "The file" },
		       { 304, NULL, "As If-None-Match has it" } },
	  .errors = "400 404" },
	{ .path = NULL },
};
