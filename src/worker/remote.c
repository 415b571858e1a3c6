/*
 * remote_fetch(): check the addresses, connect, choose from the advertised references,
 * then up to three downloads, each a set of refspecs, until the commit is there.
 */
#include "remote.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lg.h"
#include "remote_auth.h"
#include "slipway/mem.h"

#define SPECS_MAX 2
#define STEPS_MAX 3
#define LINE_MAX_LEN 500

struct step {
	char specs[SPECS_MAX][2 * PICK_REF_MAX + 64];
	size_t n;
};

struct remote {
	struct session *s;
	struct remote_auth auth;
	git_repository *mirror;
	git_remote *git;
	char url[GITURL_MAX];
	char line[LINE_MAX_LEN]; /* of the server's progress */
	size_t line_len;
	struct step steps[STEPS_MAX];
	size_t nsteps, needed; /* the first so many are run in any case */
};

static int
check_addresses(const struct session *s, const struct giturl *u, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	int rc;

	if (giturl_may_be_private(u, &s->policy))
		return 0;
	rc = getaddrinfo(u->host, NULL, &hints, &list);
	if (rc)
		return err_set(e, ERR_CONNECT, "%s: cannot resolve: %s", u->host,
			       gai_strerror(rc));
	for (struct addrinfo *a = list; a && !rc; a = a->ai_next)
		if (!giturl_address_is_public(a->ai_addr))
			rc = err_set(e, ERR_DENIED, "%s: resolves to a private "
				     "address; git.allow_hosts would have to name "
				     "it", u->host);
	freeaddrinfo(list);
	return rc;
}

static int
on_progress_text(const char *text, int len, void *arg)
{
	struct remote *r = arg;

	/* Lines that end in \r are replaced by the next one; the last is enough. */
	for (int i = 0; i < len; i++) {
		if (text[i] == '\n' && r->line_len)
			out_note(r->s->out, "remote: %.*s", (int)r->line_len, r->line);
		if (text[i] == '\n' || text[i] == '\r')
			r->line_len = 0;
		else if (r->line_len < sizeof(r->line))
			r->line[r->line_len++] = text[i];
	}
	return 0;
}

static int
on_transfer_progress(const git_indexer_progress *p, void *arg)
{
	struct remote *r = arg;
	const struct worker_fetch *t = r->s->task;

	if (p->received_bytes > t->max_bytes)
		return err_set(&r->auth.err, ERR_TOO_LARGE, "%s: the pack is larger "
			       "than limits.fetch_bytes", r->url);
	if (p->total_objects > t->max_objects)
		return err_set(&r->auth.err, ERR_TOO_LARGE, "%s: %u objects are more "
			       "than limits.fetch_objects", r->url, p->total_objects);
	return 0;
}

static int
on_credentials_wanted(git_credential **out, const char *url, const char *user,
		      unsigned allowed, void *arg)
{
	struct remote *r = arg;

	return remote_auth_answer(&r->auth, out, allowed);
}

static int
on_certificate_shown(git_cert *cert, int valid, const char *host, void *arg)
{
	struct remote *r = arg;

	return remote_auth_check(&r->auth, cert, valid);
}

static void
set_callbacks(struct remote *r, git_remote_callbacks *cb)
{
	cb->sideband_progress = on_progress_text;
	cb->transfer_progress = on_transfer_progress;
	cb->credentials = on_credentials_wanted;
	cb->certificate_check = on_certificate_shown;
	cb->payload = r;
}

/* What a callback refused says more than libgit2's "callback returned -1". */
static int
fail(struct remote *r, int rc, struct err *e)
{
	if (r->auth.err.code == ERR_NONE)
		return lg_error(e, rc, "%s", r->url);
	*e = r->auth.err;
	return -1;
}

static bool
on_find_head(void *arg, const char *ref, git_oid *id)
{
	struct remote *r = arg;
	const git_remote_head **heads;
	size_t n;

	if (git_remote_ls(&heads, &n, r->git))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(heads[i]->name, ref)) {
			*id = heads[i]->oid;
			return true;
		}
	return false;
}

/* The branch that the server's HEAD names; "" when it does not tell. */
static const char *
head_branch(struct remote *r)
{
	const git_remote_head **heads;
	size_t n;

	if (git_remote_ls(&heads, &n, r->git) || !n || !heads[0]->symref_target ||
	    strcmp(heads[0]->name, "HEAD") ||
	    strncmp(heads[0]->symref_target, "refs/heads/", 11))
		return "";
	return heads[0]->symref_target + 11;
}

/* The reference that is at this commit, for a request by id only. */
static void
find_ref_of_id(struct remote *r, struct pick *p)
{
	const git_remote_head **heads;
	size_t n;

	if (git_remote_ls(&heads, &n, r->git))
		return;
	for (size_t i = 0; i < n; i++)
		if (git_oid_equal(&heads[i]->oid, &p->id) &&
		    !strncmp(heads[i]->name, "refs/", 5) &&
		    !strstr(heads[i]->name, "^{}")) {
			STR_COPY(p->ref, heads[i]->name);
			return;
		}
}

static struct step *
new_step(struct remote *r)
{
	return &r->steps[r->nsteps++];
}

static void
add_spec(struct step *st, const char *from, const char *to)
{
	snprintf(st->specs[st->n], sizeof(st->specs[0]), "+%s:%s", from, to);
	st->n++;
}

static void
add_ref_step(struct remote *r, const char *ref)
{
	char to[PICK_REF_MAX + 32];

	if (!strncmp(ref, "refs/heads/", 11) || !strncmp(ref, "refs/tags/", 10))
		snprintf(to, sizeof(to), "%s", ref);
	else
		snprintf(to, sizeof(to), "refs/slipway/%s",
			 !strncmp(ref, "refs/", 5) ? ref + 5 : ref);
	add_spec(new_step(r), ref, to);
}

static void
add_all_step(struct remote *r)
{
	struct step *st = new_step(r);

	add_spec(st, "refs/heads/*", "refs/heads/*");
	add_spec(st, "refs/tags/*", "refs/tags/*");
}

static void
add_id_step(struct remote *r, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1], to[GIT_OID_HEXSZ + 32];

	git_oid_tostr(hex, sizeof(hex), id);
	snprintf(to, sizeof(to), "refs/slipway/%s", hex);
	add_spec(new_step(r), hex, to);
}

static bool
is_in_all(const char *ref)
{
	return !strncmp(ref, "refs/heads/", 11) || !strncmp(ref, "refs/tags/", 10);
}

static void
plan(struct remote *r, const struct remote_want *want, struct pick *p)
{
	if (p->kind == PICK_ID && !want->everything)
		find_ref_of_id(r, p);
	if (want->everything)
		add_all_step(r);
	if (p->ref[0] && !(want->everything && is_in_all(p->ref)))
		add_ref_step(r, p->ref);
	r->needed = p->kind == PICK_REF ? r->nsteps : want->everything;
	if (p->kind == PICK_REF)
		return;
	if (!want->everything)
		add_all_step(r);
	if (p->kind == PICK_ID && r->nsteps < STEPS_MAX)
		add_id_step(r, &p->id);
}

static int
run_step(struct remote *r, const struct step *st, struct err *e)
{
	git_fetch_options fo;
	char *specs[SPECS_MAX];
	git_strarray list = { specs, st->n };
	int rc;

	for (size_t i = 0; i < st->n; i++)
		specs[i] = (char *)(uintptr_t)st->specs[i];
	git_fetch_options_init(&fo, GIT_FETCH_OPTIONS_VERSION);
	fo.update_fetchhead = 0;
	fo.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	fo.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	fo.proxy_opts.type = GIT_PROXY_NONE;
	set_callbacks(r, &fo.callbacks);
	rc = git_remote_download(r->git, &list, &fo);
	if (rc == 0)
		rc = git_remote_update_tips(r->git, &fo.callbacks, 0,
					    GIT_REMOTE_DOWNLOAD_TAGS_NONE, NULL);
	if (rc < 0)
		return fail(r, rc, e);

	const git_indexer_progress *p = git_remote_stats(r->git);

	if (p && p->received_objects)
		out_note(r->s->out, "Receiving objects: %u, %zu KiB, done.",
			 p->received_objects, (p->received_bytes + 1023) / 1024);
	/* A server has hung up after one pack. */
	git_remote_disconnect(r->git);
	return 0;
}

static bool
has_commit(git_repository *repo, const git_oid *id)
{
	cleanup_git(commit) git_commit *c = NULL;

	return git_commit_lookup(&c, repo, id) == 0;
}

static int
run_steps(struct remote *r, const struct pick *p, struct err *e)
{
	for (size_t i = 0; i < r->nsteps; i++) {
		bool last = i + 1 == r->nsteps;

		if (i >= r->needed && p->kind == PICK_ID &&
		    has_commit(r->mirror, &p->id))
			return 0;
		/* Servers refuse single commits in many ways; they all mean that it
		 * is not there. The caller sees. */
		if (run_step(r, &r->steps[i], e)) {
			if (!(last && p->kind == PICK_ID && i > 0) ||
			    r->auth.err.code != ERR_NONE)
				return -1;
			memset(e, 0, sizeof(*e));
		}
	}
	return 0;
}

static int
connect_remote(struct remote *r, struct err *e)
{
	git_remote_connect_options co;
	int rc = git_remote_create_anonymous(&r->git, r->mirror, r->url);

	if (rc < 0)
		return lg_error(e, rc, "%s", r->url);
	git_remote_connect_options_init(&co, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
	co.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	co.proxy_opts.type = GIT_PROXY_NONE;
	set_callbacks(r, &co.callbacks);
	rc = git_remote_connect_ext(r->git, GIT_DIRECTION_FETCH, &co);
	return rc < 0 ? fail(r, rc, e) : 0;
}

int
remote_fetch(struct session *s, const struct giturl *u, git_repository *mirror,
	     const struct remote_want *want, struct pick *pick, struct err *e)
{
	struct remote r = { .s = s, .mirror = mirror };
	struct pick_source src = { .find = on_find_head, .arg = &r };
	int rc = -1;

	remote_auth_init(&r.auth, s, u);
	giturl_format(u, r.url);
	git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, (size_t)s->task->max_objects);
	if (check_addresses(s, u, e) || connect_remote(&r, e))
		goto out;
	src.head = head_branch(&r);
	if (pick_resolve(pick, want->commit, want->branch, &src, e))
		goto out;
	plan(&r, want, pick);
	rc = run_steps(&r, pick, e);
out:
	git_remote_free(r.git);
	return rc;
}
