#include "client.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "slipway/mem.h"
#include "slipway/version.h"

#define DEFAULT_SOCKET "/run/slipway/slipwayd.sock"
#define DEFAULT_URL "http://127.0.0.1:8080"
#define CONNECT_MS 10000L
#define SILENCE_S 60L

struct client {
	CURL *curl;
	char *where;
	char *base;	   /* of URLs */
	char *unix_socket; /* or NULL */
	char *token;
	/* The call under way. */
	struct response *response;
	const struct client_stream *stream;
	bool stopped, too_large;
	char error[CURL_ERROR_SIZE];
};

void
response_free(struct response *r)
{
	strbuf_free(&r->body);
}

static bool
socket_answers(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && STR_COPY(sun.sun_path, path) &&
	       connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
}

static int
client_set_server(struct client *c, const char *server, struct err *e)
{
	if (!server || !*server)
		server = socket_answers(DEFAULT_SOCKET) ? "unix:" DEFAULT_SOCKET
							: DEFAULT_URL;
	c->where = xstrdup(server);
	if (strncmp(server, "unix:", 5) == 0 && server[5]) {
		c->unix_socket = xstrdup(server + 5);
		c->base = xstrdup("http://localhost");
		return 0;
	}
	if (strncmp(server, "http://", 7) != 0 && strncmp(server, "https://", 8) != 0)
		return err_set(e, ERR_INVALID,
			       "the server must be http://HOST:PORT, https://HOST or "
			       "unix:PATH, not \"%s\"",
			       server);
	c->base = xstrdup(server);
	for (size_t n = strlen(c->base); n > 0 && c->base[n - 1] == '/'; n--)
		c->base[n - 1] = '\0';
	return 0;
}

struct client *
client_new(const char *server, const char *token, struct err *e)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->token = token && *token ? xstrdup(token) : NULL;
	if (client_set_server(c, server, e) == 0) {
		c->curl = curl_easy_init();
		if (!c->curl)
			err_set(e, ERR_INTERNAL, "libcurl does not start");
	}
	if (c->curl)
		return c;
	client_free(c);
	return NULL;
}

void
client_free(struct client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->curl);
	if (c->token)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	free(c->where);
	free(c->base);
	free(c->unix_socket);
	free(c);
}

const char *
client_where(const struct client *c)
{
	return c->where;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct client *c = arg;
	size_t len = size * n;

	if (!c->response->status)
		curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE,
				  &c->response->status);
	if (c->stream && c->response->status == 200) {
		c->stopped = !c->stream->on_data(c->stream->arg, data, len);
		return c->stopped ? 0 : len;
	}
	if (c->response->body.len + len > CLIENT_BODY_MAX) {
		c->too_large = true;
		return 0;
	}
	strbuf_add(&c->response->body, data, len);
	return len;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	struct client *c = arg;
	size_t len = size * n, at = 5;

	if (len < at || strncasecmp(data, "ETag:", at) != 0)
		return len;
	while (at < len && data[at] == ' ')
		at++;
	while (len > at && strchr("\r\n ", data[len - 1]))
		len--;
	if (len - at < sizeof(c->response->etag)) {
		memcpy(c->response->etag, data + at, len - at);
		c->response->etag[len - at] = '\0';
	}
	return size * n;
}

static int
on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
	    curl_off_t ulnow)
{
	struct client *c = arg;

	if (c->stream && c->stream->on_tick && !c->stream->on_tick(c->stream->arg))
		c->stopped = true;
	return c->stopped;
}

static struct curl_slist *
header_add(struct curl_slist *list, const char *name, const char *value)
{
	cleanup_free char *line = xasprintf("%s: %s", name, value);

	return curl_slist_append(list, line);
}

static struct curl_slist *
client_headers(struct client *c, bool post)
{
	struct curl_slist *list = header_add(NULL, "Expect", "");

	list = header_add(list, "Accept",
			  c->stream ? c->stream->accept : "application/json");
	if (post)
		list = header_add(list, "Content-Type", "application/json");
	if (c->stream && *c->stream->last_id)
		list = header_add(list, "Last-Event-ID", c->stream->last_id);
	if (c->token) {
		cleanup_free char *value = xasprintf("Bearer %s", c->token);

		list = header_add(list, "Authorization", value);
		explicit_bzero(value, strlen(value));
	}
	return list;
}

static void
client_setup(struct client *c, const char *url, const struct curl_slist *headers)
{
	CURL *h = c->curl;

	curl_easy_reset(h);
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_USERAGENT, "slipway/" SLIPWAY_VERSION);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
	if (c->unix_socket)
		curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);
	if (!c->stream)
		return;
	curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(h, CURLOPT_XFERINFODATA, c);
	curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
}

static int
client_perform(struct client *c, struct response *r, struct err *e)
{
	CURLcode code;

	c->error[0] = '\0';
	c->stopped = c->too_large = false;
	r->status = 0;
	r->etag[0] = '\0';
	strbuf_reset(&r->body);
	c->response = r;
	code = curl_easy_perform(c->curl);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &r->status);
	c->response = NULL;
	if (code == CURLE_OK || c->stopped)
		return 0;
	if (c->too_large)
		return err_set(e, ERR_PROTOCOL, "the answer of %s is too large",
			       c->where);
	return err_set(e, ERR_CONNECT, "cannot talk to %s: %s", c->where,
		       *c->error ? c->error : curl_easy_strerror(code));
}

int
client_call(struct client *c, const char *path, const struct strbuf *body,
	    long timeout_s, struct response *r, struct err *e)
{
	cleanup_free char *url = xasprintf("%s%s", c->base, path);
	struct curl_slist *headers;
	int rc;

	c->stream = NULL;
	headers = client_headers(c, body != NULL);
	client_setup(c, url, headers);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, timeout_s ? timeout_s : 30L);
	if (body) {
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, strbuf_str(body));
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, (long)body->len);
	}
	rc = client_perform(c, r, e);
	curl_slist_free_all(headers);
	return rc;
}

int
client_read(struct client *c, const struct client_stream *s, struct response *r,
	    struct err *e)
{
	cleanup_free char *url = xasprintf("%s%s", c->base, s->path);
	struct curl_slist *headers;
	int rc;

	c->stream = s;
	headers = client_headers(c, false);
	client_setup(c, url, headers);
	rc = client_perform(c, r, e);
	curl_slist_free_all(headers);
	c->stream = NULL;
	return rc;
}
