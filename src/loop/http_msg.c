/* What evhtp knows of a connection and of the message on it. */
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <evhtp/evhtp.h>

#include "http_listen.h"
#include "http_priv.h"
#include "slipway/mem.h"

void
http_conn_set_peer(struct http_conn *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (!c->is_unix) {
		http_peer_name(c->ev->saddr, c->peer, sizeof(c->peer));
		return;
	}
	STR_COPY(c->peer, "unix");
	c->has_uid = !getsockopt(c->ev->sock, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	if (c->has_uid)
		c->uid = cred.uid;
}

const char *
http_conn_header(const struct http_conn *c, const char *name)
{
	evhtp_header_t *h = c->req ? evhtp_headers_find_header(c->req->headers_in, name)
				   : NULL;

	/* One without a value has a NULL one. */
	if (!h)
		return NULL;
	return h->val ? h->val : "";
}

size_t
http_conn_header_all(const struct http_conn *c, const char *name, struct strbuf *out)
{
	evhtp_header_t *h;
	size_t n = 0;

	if (!c->req)
		return 0;
	TAILQ_FOREACH(h, c->req->headers_in, next) {
		if (!h->key || strcasecmp(h->key, name) != 0)
			continue;
		if (n++)
			strbuf_adds(out, ", ");
		strbuf_adds(out, h->val ? h->val : "");
	}
	return n;
}

const char *
http_conn_body(const struct http_conn *c, size_t *len)
{
	*len = c->r.body.len;
	return strbuf_str(&c->r.body);
}
