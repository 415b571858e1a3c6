#include "remote_auth.h"

#include <fnmatch.h>
#include <string.h>

#include "known_hosts.h"
#include "slipway/mem.h"

const struct worker_credential *
remote_auth_credential(const struct session *s, const struct giturl *u)
{
	char name[GITURL_MAX];

	giturl_format_short(u, name);
	for (size_t i = 0; i < s->task->ncredentials; i++) {
		const struct worker_credential *c = &s->task->credentials[i];
		const char *secret = u->scheme == GITURL_SSH ? c->ssh_key : c->token;

		if (*secret && !fnmatch(c->match, name, 0))
			return c;
	}
	return NULL;
}

const char *
remote_auth_known_hosts(const struct session *s, const struct giturl *u)
{
	char name[GITURL_MAX];

	giturl_format_short(u, name);
	for (size_t i = 0; i < s->task->ncredentials; i++) {
		const struct worker_credential *c = &s->task->credentials[i];

		if (*c->known_hosts && !fnmatch(c->match, name, 0))
			return c->known_hosts;
	}
	return "";
}

void
remote_auth_init(struct remote_auth *a, struct session *s, const struct giturl *u)
{
	memset(a, 0, sizeof(*a));
	a->s = s;
	a->u = u;
	a->credential = remote_auth_credential(s, u);
}

static int
answer_ssh(struct remote_auth *a, git_credential **out, unsigned allowed)
{
	const struct worker_credential *c = a->credential;
	const char *user = a->u->user[0]	? a->u->user
			   : c && *c->username ? c->username
						: "git";

	if (allowed & GIT_CREDENTIAL_USERNAME)
		return git_credential_username_new(out, user);
	if (!c)
		return err_set(&a->err, ERR_DENIED, "%s: no ssh key is configured for "
			       "it (git.credentials)", a->u->host);
	if (a->asked++)
		return err_set(&a->err, ERR_DENIED, "%s: the server does not accept "
			       "the ssh key for user %s", a->u->host, user);
	if (!(allowed & (GIT_CREDENTIAL_SSH_KEY | GIT_CREDENTIAL_SSH_MEMORY)))
		return err_set(&a->err, ERR_DENIED, "%s: the server does not offer to "
			       "authenticate by key", a->u->host);
	return git_credential_ssh_key_memory_new(out, user, NULL, c->ssh_key, NULL);
}

static int
answer_http(struct remote_auth *a, git_credential **out, unsigned allowed)
{
	const struct worker_credential *c = a->credential;
	const char *host = a->u->host;

	if (!c)
		return err_set(&a->err, ERR_DENIED, "%s: the repository does not exist "
			       "or needs a token (git.credentials)", host);
	if (a->u->scheme == GITURL_HTTP &&
	    !giturl_may_be_private(a->u, &a->s->policy))
		return err_set(&a->err, ERR_DENIED, "%s: a token is not sent over "
			       "plain http", host);
	if (a->asked++)
		return err_set(&a->err, ERR_DENIED, "%s: the server does not accept "
			       "the token for this repository", host);
	if (!(allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT))
		return err_set(&a->err, ERR_DENIED, "%s: the server does not offer to "
			       "authenticate by token", host);
	return git_credential_userpass_plaintext_new(
		out, *c->username ? c->username : "x-access-token", c->token);
}

int
remote_auth_answer(struct remote_auth *a, git_credential **out, unsigned allowed)
{
	return a->u->scheme == GITURL_SSH ? answer_ssh(a, out, allowed)
					  : answer_http(a, out, allowed);
}

static int
check_host_key(struct remote_auth *a, const git_cert_hostkey *key)
{
	static const char *const why[] = {
		[KNOWN_HOST_UNKNOWN] = "the known_hosts file does not list this host",
		[KNOWN_HOST_OTHER_TYPE] = "the known_hosts file lists only keys of "
					  "other types for this host",
		[KNOWN_HOST_CHANGED] = "the host key is not the one in the known_hosts "
				       "file: somebody may be listening in",
		[KNOWN_HOST_REVOKED] = "the host key is marked as revoked",
	};
	const char *known = remote_auth_known_hosts(a->s, a->u);
	enum known_host k;

	if (!*known)
		return err_set(&a->err, ERR_DENIED, "%s: no known_hosts_file is "
			       "configured for it (git.credentials)", a->u->host);
	if (!(key->type & GIT_CERT_SSH_RAW))
		return err_set(&a->err, ERR_DENIED, "%s: no host key was presented",
			       a->u->host);
	k = known_hosts_check(known, strlen(known), a->u->host, a->u->port,
			      key->hostkey, key->hostkey_len);
	if (k == KNOWN_HOST_MATCH)
		return 0;
	return err_set(&a->err, ERR_DENIED, "%s: %s", a->u->host, why[k]);
}

int
remote_auth_check(struct remote_auth *a, const git_cert *cert, int valid)
{
	if (cert->cert_type == GIT_CERT_HOSTKEY_LIBSSH2)
		return check_host_key(a, (const git_cert_hostkey *)cert);
	if (valid)
		return 0;
	return err_set(&a->err, ERR_DENIED, "%s: the server's certificate is not valid "
		       "for it or not signed by a trusted authority", a->u->host);
}
