/*
 * httpc_start()         the request waits in `todo`                     NEW
 * service() [defer]     handed to curl                                  RUNNING
 * on_socket, on_timeout curl moves bytes; on_body() collects them
 * service() [defer]     what curl says is complete calls on_done()      DONE
 *
 * curl must not be called from inside its own callbacks, but users may start and cancel
 * requests anywhere, also in on_data and on_done. So all calls only mark the request and
 * move it to `todo`; service() alone adds and removes handles.
 */
#include "slipway/httpc.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "slipway/log.h"
#include "slipway/mem.h"

#define CONNECT_MS 10000
#define HEADERS_MAX (64 * 1024)

enum state { NEW, RUNNING, DONE, CANCELLED };

struct httpc_req {
	TAILQ_ENTRY(httpc_req) next; /* in active or todo */
	struct httpc *client;
	enum state state;
	bool added; /* to the multi handle */
	CURL *easy;
	struct curl_slist *headers;
	void *body;
	struct strbuf answer;
	size_t max_answer, header_bytes;
	bool too_large;
	CURLcode result;
	int (*on_data)(void *arg, const void *data, size_t len);
	void (*on_done)(void *arg, const struct err *err, long status,
			const struct strbuf *body);
	void *arg;
	char error[CURL_ERROR_SIZE];
};
TAILQ_HEAD(reqs, httpc_req);

struct httpc {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer;
	struct reqs active; /* RUNNING */
	struct reqs todo;   /* all others */
	unsigned n;
	bool service_queued;
	bool freed;
};

static void service(void *arg);

static void
queue_service(struct httpc *c)
{
	if (c->service_queued)
		return;
	c->service_queued = true;
	loop_defer(c->loop, service, c);
}

static void
req_move(struct httpc_req *r, enum state state)
{
	struct httpc *c = r->client;

	if (r->state == RUNNING)
		TAILQ_REMOVE(&c->active, r, next);
	else
		TAILQ_REMOVE(&c->todo, r, next);
	r->state = state;
	if (state == RUNNING) {
		TAILQ_INSERT_TAIL(&c->active, r, next);
	} else {
		TAILQ_INSERT_TAIL(&c->todo, r, next);
		queue_service(c);
	}
}

static void
req_remove(struct httpc_req *r)
{
	if (r->added)
		curl_multi_remove_handle(r->client->multi, r->easy);
	r->added = false;
}

static void
req_free(struct httpc_req *r)
{
	req_remove(r);
	if (r->easy)
		curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	strbuf_free(&r->answer);
	free(r->body);
	free(r);
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct httpc_req *r = arg;
	size_t len = size * n;

	if (r->state != RUNNING)
		return CURL_WRITEFUNC_ERROR;
	if (r->on_data)
		return r->on_data(r->arg, data, len) < 0 ? CURL_WRITEFUNC_ERROR : len;
	if (len > r->max_answer - r->answer.len) {
		r->too_large = true;
		return CURL_WRITEFUNC_ERROR;
	}
	strbuf_add(&r->answer, data, len);
	return len;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	struct httpc_req *r = arg;

	r->header_bytes += size * n;
	if (r->header_bytes <= HEADERS_MAX)
		return size * n;
	r->too_large = true;
	return CURL_WRITEFUNC_ERROR;
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

static void
drive(struct httpc *c, curl_socket_t fd, int events)
{
	int running;
	CURLMcode rc = curl_multi_socket_action(c->multi, fd, events, &running);

	if (rc != CURLM_OK)
		log_error(LOG_HTTP, "curl: %s", curl_multi_strerror(rc));
	queue_service(c);
}

static void
on_socket_ready(int fd, unsigned what, void *arg)
{
	drive(arg, fd,
	      (what & LOOP_READ ? CURL_CSELECT_IN : 0) |
		      (what & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static void
on_timeout(void *arg)
{
	drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_socket_wanted(CURL *easy, curl_socket_t fd, int want, void *arg, void *watch)
{
	struct httpc *c = arg;
	unsigned what = (want & CURL_POLL_IN ? LOOP_READ : 0) |
			(want & CURL_POLL_OUT ? LOOP_WRITE : 0);

	if (want == CURL_POLL_REMOVE) {
		/* At once: curl closes the fd next and the number is used again. */
		loop_fd_free(watch);
		curl_multi_assign(c->multi, fd, NULL);
	} else if (watch) {
		loop_fd_set(watch, what);
	} else {
		watch = loop_fd_new(c->loop, fd, what, on_socket_ready, c);
		curl_multi_assign(c->multi, fd, watch);
	}
	return 0;
}

static int
on_timer_wanted(CURLM *multi, long ms, void *arg)
{
	struct httpc *c = arg;

	if (ms < 0)
		loop_timer_stop(c->timer);
	else
		loop_timer_set(c->timer, ms);
	return 0;
}

static const struct {
	CURLcode curl;
	enum err_code code;
} err_codes[] = {
	{ CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT },
	{ CURLE_COULDNT_RESOLVE_HOST, ERR_CONNECT },
	{ CURLE_COULDNT_CONNECT, ERR_CONNECT },
	{ CURLE_SEND_ERROR, ERR_CONNECT },
	{ CURLE_RECV_ERROR, ERR_CONNECT },
	{ CURLE_GOT_NOTHING, ERR_CONNECT },
	{ CURLE_PARTIAL_FILE, ERR_CONNECT },
	{ CURLE_SSL_CONNECT_ERROR, ERR_CONNECT },
	{ CURLE_PEER_FAILED_VERIFICATION, ERR_DENIED },
	{ CURLE_URL_MALFORMAT, ERR_INVALID },
	{ CURLE_UNSUPPORTED_PROTOCOL, ERR_INVALID },
	{ CURLE_WRITE_ERROR, ERR_CLOSED },
	{ CURLE_OUT_OF_MEMORY, ERR_INTERNAL },
};

static void
fill_err(const struct httpc_req *r, struct err *e)
{
	enum err_code code = ERR_PROTOCOL;

	for (size_t i = 0; i < ARRAY_LEN(err_codes); i++) {
		if (err_codes[i].curl == r->result)
			code = err_codes[i].code;
	}
	if (r->too_large)
		err_set(e, ERR_TOO_LARGE, "the answer is too large");
	else
		err_set(e, code, "%s",
			r->error[0] ? r->error : curl_easy_strerror(r->result));
}

static void
req_done(struct httpc_req *r)
{
	struct err e = { 0 };
	long status = 0;

	/* First, for on_done may free the client. */
	req_remove(r);
	if (r->result != CURLE_OK)
		fill_err(r, &e);
	else
		curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	r->on_done(r->arg, r->result == CURLE_OK ? NULL : &e, status, &r->answer);
}

static void
req_add(struct httpc_req *r)
{
	CURLMcode rc = curl_multi_add_handle(r->client->multi, r->easy);

	if (rc == CURLM_OK) {
		r->added = true;
		req_move(r, RUNNING);
	} else {
		STR_COPY(r->error, curl_multi_strerror(rc));
		r->result = CURLE_FAILED_INIT;
		req_move(r, DONE);
	}
}

static void
collect_done(struct httpc *c)
{
	struct httpc_req *r;
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left))) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r);
		r->result = msg->data.result;
		if (r->state == RUNNING)
			req_move(r, DONE);
	}
}

static void
service(void *arg)
{
	struct httpc *c = arg;
	struct httpc_req *r;

	if (c->freed) {
		free(c);
		return;
	}
	collect_done(c);
	/* Still marked as queued: what is added meanwhile is served here, too. */
	while (!c->freed && (r = TAILQ_FIRST(&c->todo))) {
		if (r->state == NEW) {
			req_add(r);
			continue;
		}
		TAILQ_REMOVE(&c->todo, r, next);
		c->n--;
		if (r->state == DONE)
			req_done(r);
		req_free(r);
	}
	c->service_queued = false;
	if (c->freed)
		free(c);
}

struct httpc *
httpc_new(struct loop *l, struct err *e)
{
	static bool initialised;
	struct httpc *c;

	if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		err_set(e, ERR_INTERNAL, "curl does not start");
		return NULL;
	}
	initialised = true;
	c = xcalloc(1, sizeof(*c));
	c->loop = l;
	TAILQ_INIT(&c->active);
	TAILQ_INIT(&c->todo);
	c->timer = loop_timer_new(l, on_timeout, c);
	c->multi = curl_multi_init();
	if (!c->multi)
		log_fatal(LOG_HTTP, "out of memory for curl");
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	return c;
}

static void
drop_all(struct reqs *reqs)
{
	struct httpc_req *r;

	while ((r = TAILQ_FIRST(reqs))) {
		TAILQ_REMOVE(reqs, r, next);
		req_free(r);
	}
}

void
httpc_free(struct httpc *c)
{
	if (!c)
		return;
	drop_all(&c->active);
	drop_all(&c->todo);
	curl_multi_cleanup(c->multi);
	loop_timer_free(c->timer);
	c->freed = true;
	if (!c->service_queued)
		free(c);
}

static bool
has_header(const char *const *headers, const char *name)
{
	size_t len = strlen(name);

	for (; headers && *headers; headers++) {
		if (!strncasecmp(*headers, name, len))
			return true;
	}
	return false;
}

static void
add_header(struct httpc_req *r, const char *line)
{
	struct curl_slist *longer = curl_slist_append(r->headers, line);

	if (!longer)
		log_fatal(LOG_HTTP, "out of memory for a header");
	r->headers = longer;
}

static void
set_headers(struct httpc_req *r, const struct httpc_opts *o)
{
	for (const char *const *h = o->headers; h && *h; h++)
		add_header(r, *h);
	/* An empty line takes back what curl would add by itself. */
	add_header(r, "Expect:");
	if (!has_header(o->headers, "Content-Type:"))
		add_header(r, "Content-Type:");
	curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
}

static void
set_method(struct httpc_req *r, const struct httpc_opts *o)
{
	bool sends = o->body || !strcmp(o->method, "POST") || !strcmp(o->method, "PUT");

	if (!strcmp(o->method, "HEAD")) {
		curl_easy_setopt(r->easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (sends) {
		r->body = xmemdup(o->body ? o->body : "", o->body ? o->body_len : 1);
		curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)(o->body ? o->body_len : 0));
		curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->body);
	}
	curl_easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, o->method);
}

static void
set_policy(CURL *easy, const struct httpc_opts *o)
{
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
	/* Nobody knows where in a stream that was cut the next answer would begin. */
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, o->on_data ? 1L : 0L);
}

static void
set_callbacks(struct httpc_req *r)
{
	curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
	curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r);
}

struct httpc_req *
httpc_start(struct httpc *c, const struct httpc_opts *o, struct err *e)
{
	struct httpc_req *r = xcalloc(1, sizeof(*r));

	r->client = c;
	r->max_answer = o->max_answer;
	r->on_data = o->on_data;
	r->on_done = o->on_done;
	r->arg = o->arg;
	r->easy = curl_easy_init();
	if (!r->easy)
		log_fatal(LOG_HTTP, "out of memory for a request");
	if (curl_easy_setopt(r->easy, CURLOPT_URL, o->url) != CURLE_OK ||
	    (o->unix_socket && curl_easy_setopt(r->easy, CURLOPT_UNIX_SOCKET_PATH,
						o->unix_socket) != CURLE_OK)) {
		err_set(e, ERR_INVALID, "bad URL or socket path");
		req_free(r);
		return NULL;
	}
	set_policy(r->easy, o);
	set_method(r, o);
	set_headers(r, o);
	set_callbacks(r);
	TAILQ_INSERT_TAIL(&c->todo, r, next);
	c->n++;
	queue_service(c);
	return r;
}

void
httpc_cancel(struct httpc_req *r)
{
	/* A request whose on_done is running is no longer in any list. */
	if (r->state == NEW || r->state == RUNNING)
		req_move(r, CANCELLED);
	else if (r->state == DONE && r->on_done)
		r->state = CANCELLED;
}

unsigned
httpc_active(const struct httpc *c)
{
	return c->n;
}
