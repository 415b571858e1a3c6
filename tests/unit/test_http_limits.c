#include <sys/resource.h>

#include "http_rig.h"

TestSuite(http_limits, .timeout = 30);

Test(http_limits, connections_over_the_limit_are_refused)
{
	struct strbuf in = { 0 };
	int fd, over;

	start((struct http_opts){ .max_connections = 1 });
	fd = dial();
	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	over = dial();
	read_to_end(over, &in);
	cr_assert(begins(&in, "HTTP/1.1 503 "));
	cr_assert(has(&in, "\r\n\r\n{\"error\":\"too many connections\","
			   "\"code\":\"busy\"}\n"));
	close(over);
	strbuf_free(&in);
	close(fd);
	sem_wait(&closed);
	in = ask(GET("/hello"));
	cr_assert(begins(&in, "HTTP/1.1 200 "));
	strbuf_free(&in);
	stop();
}

Test(http_limits, a_slow_head_is_cut_although_bytes_trickle)
{
	struct strbuf in = { 0 };
	int fd;

	start((struct http_opts){ .max_connections = 9, .head_ms = 50 });
	fd = dial();
	send_all(fd, "GET /hello HTTP/1.1\r\n");
	read_to_end(fd, &in);
	cr_assert(begins(&in, "HTTP/1.1 408 "));
	close(fd);
	strbuf_free(&in);
	stop();
}

/* Sends piece after piece until the server has had enough; what it answered. */
static struct strbuf
trickle(const char *start, const char *piece)
{
	struct timeval pause = { .tv_usec = 5000 };
	struct strbuf in = { 0 };
	char buf[4096];
	ssize_t n = -1;
	int fd = dial();

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof(pause));
	send_all(fd, start);
	for (int i = 0; i < 2000 && n < 0; i++) {
		n = recv(fd, buf, sizeof(buf), 0);
		send(fd, piece, strlen(piece), MSG_NOSIGNAL);
	}
	cr_assert_gt(n, 0, "the server bears it for ever");
	strbuf_add(&in, buf, (size_t)n);
	close(fd);
	return in;
}

Test(http_limits, trickling_bytes_do_not_move_the_deadlines)
{
	struct strbuf in;

	start((struct http_opts){ .max_connections = 9, .head_ms = 80, .body_ms = 80 });
	in = trickle("GET /hello HTTP/1.1\r\n", "X: y\r\n");
	cr_assert(begins(&in, "HTTP/1.1 408 "), "%s", strbuf_str(&in));
	cr_assert(has(&in, "\"code\":\"timeout\""));
	strbuf_free(&in);
	in = trickle("POST /raw HTTP/1.1\r\n" HOST "Content-Length: 999\r\n\r\n", "x");
	cr_assert(begins(&in, "HTTP/1.1 408 "), "%s", strbuf_str(&in));
	strbuf_free(&in);
	stop();
}

Test(http_limits, a_connection_that_says_nothing_is_closed_without_a_word)
{
	struct strbuf in = { 0 };
	int fd;

	start((struct http_opts){ .max_connections = 9, .head_ms = 30 });
	fd = dial();
	read_to_end(fd, &in);
	cr_assert_eq(in.len, 0);
	close(fd);
	stop();
}

Test(http_limits, a_slow_body_is_408)
{
	struct strbuf in = { 0 };

	start((struct http_opts){ .max_connections = 9, .body_ms = 50 });
	in = ask("POST /raw HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab");
	cr_assert(begins(&in, "HTTP/1.1 408 "));
	strbuf_free(&in);
	stop();
}

Test(http_limits, an_idle_connection_is_closed_and_a_pending_one_is_not)
{
	char text[] = "x";
	struct strbuf in = { 0 };
	int idle, busy;

	start((struct http_opts){ .max_connections = 9, .head_ms = 60, .idle_ms = 30 });
	busy = dial();
	send_all(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	idle = dial();
	send_all(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	read_to_end(idle, &in);
	cr_assert(has(&in, "\r\n\r\nhello"));
	cr_assert_not(has(&in, "Connection: close"));
	on_server(answer_pending, text);
	read_until(busy, &in, "\r\n\r\nx");
	close(idle);
	close(busy);
	strbuf_free(&in);
	stop();
}

static void
do_nothing(void *arg)
{
}

/* Two turns: in one of them the server has seen what was sent before. */
static void
let_it_see(void)
{
	on_server(do_nothing, NULL);
	on_server(do_nothing, NULL);
}

static void
hold_still(void *arg)
{
	sem_post(&ran);
	sem_wait(arg);
}

static void
count_connections(void *arg)
{
	*(unsigned *)arg = http_connections(http);
}

Test(http_limits, one_who_asks_and_resets_before_he_is_read_leaves_nothing)
{
	static const char *const requests[] = { GET("/hello"), "FROB / HTTP/1.1\r\n" };
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	unsigned left = 1;
	sem_t go;

	start((struct http_opts){ .max_connections = 9 });
	sem_init(&go, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		int fd;

		/* The server sees the request and the reset at once, and that its
		 * answer cannot be written before that there is nothing to read. */
		loop_post(loop, hold_still, &go);
		sem_wait(&ran);
		fd = dial();
		send_all(fd, requests[i]);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(fd);
		sem_post(&go);
		let_it_see();
		for (int turns = 0; turns < 1000 && (turns < 3 || left); turns++)
			on_server(count_connections, &left);
		cr_assert_eq(left, 0, "after '%s'", requests[i]);
	}
	stop();
}

static struct strbuf
post_large(size_t n)
{
	cleanup_strbuf struct strbuf request = { 0 };

	strbuf_addf(&request, POST("/large", "Content-Length: %zu\r\n", ""), n);
	strbuf_reserve(&request, n);
	for (size_t i = 0; i < n; i++)
		strbuf_addc(&request, 'x');
	return ask(request.data);
}

Test(http_limits, a_route_may_take_larger_bodies_than_the_others)
{
	struct strbuf in;

	start((struct http_opts){ .max_connections = 9 });
	in = post_large(2 << 20);
	cr_assert(has(&in, "\r\n\r\n2097152 bytes"), "%s", strbuf_str(&in));
	strbuf_free(&in);
	in = ask(POST("/large", "Content-Length: 2097153\r\n", ""));
	cr_assert(begins(&in, "HTTP/1.1 413 "));
	cr_assert(has(&in, "larger than 2097152 bytes"));
	strbuf_free(&in);
	stop();
}

/* A body of which the first n bytes are sent, and counted when this returns. */
static int
hold_bytes(size_t n)
{
	cleanup_strbuf struct strbuf request = { 0 };
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "POST /large HTTP/1.1\r\n" HOST
		     "Expect: 100-continue\r\nContent-Length: 3000\r\n\r\n");
	read_until(fd, &in, "100 Continue\r\n\r\n");
	for (size_t i = 0; i < n; i++)
		strbuf_addc(&request, 'x');
	if (n)
		send_all(fd, request.data);
	let_it_see();
	strbuf_free(&in);
	return fd;
}

Test(http_limits, bodies_share_a_budget_that_counts_what_has_come)
{
	struct strbuf in = { 0 };
	int announced, held;

	start((struct http_opts){ .max_connections = 9, .body_budget = 4000 });
	announced = hold_bytes(0);
	held = hold_bytes(1000);
	in = post_large(3000);
	cr_assert(has(&in, "\r\n\r\n3000 bytes"), "%s", strbuf_str(&in));
	strbuf_free(&in);
	in = post_large(4001);
	cr_assert(begins(&in, "HTTP/1.1 503 "));
	cr_assert(has(&in, "Retry-After: 1\r\n"));
	cr_assert(has(&in, "\"code\":\"busy\""));
	strbuf_free(&in);
	close(announced);
	close(held);
	stop();
}

Test(http_limits, a_body_that_outgrows_the_budget_is_503)
{
	struct strbuf in = { 0 };
	char block[2001];
	int first, second;

	start((struct http_opts){ .max_connections = 9, .body_budget = 4000 });
	memset(block, 'x', 2000);
	block[2000] = '\0';
	first = hold_bytes(0);
	second = hold_bytes(0);
	send_all(first, block);
	let_it_see();
	send_all(second, block);
	/* One byte too much for both together. */
	send_all(second, "x");
	read_until(second, &in, "}");
	cr_assert(begins(&in, "HTTP/1.1 503 "), "%s", strbuf_str(&in));
	strbuf_free(&in);
	send_all(first, "x");
	block[999] = '\0';
	send_all(first, block);
	read_until(first, &in, "3000 bytes");
	close(first);
	close(second);
	strbuf_free(&in);
	stop();
}

Test(http_limits, connections_stay_below_the_limit_of_open_files)
{
	struct rlimit rl, low;
	struct err e = { 0 };
	struct http_opts o = { .routes = routes, .max_connections = 100 };

	o.loop = loop = loop_new(&e);
	getrlimit(RLIMIT_NOFILE, &rl);
	low = rl;
	low.rlim_cur = 40;
	setrlimit(RLIMIT_NOFILE, &low);
	http = http_new(&o, &e);
	setrlimit(RLIMIT_NOFILE, &rl);
	cr_assert_eq(http_max_connections(http), 30);
	http_free(http);
	http = http_new(&o, &e);
	cr_assert_eq(http_max_connections(http), 100);
	http_free(http);
	loop_free(loop);
}

Test(http_limits, the_listener_recovers_when_descriptors_ran_out)
{
	struct rlimit rl, low;
	struct strbuf in = { 0 };
	int fds[64], n = 0, first, fd;

	start((struct http_opts){ .max_connections = 50 });
	first = dial();
	send_all(first, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	getrlimit(RLIMIT_NOFILE, &rl);
	low = rl;
	low.rlim_cur = (rlim_t)first + 20;
	setrlimit(RLIMIT_NOFILE, &low);
	while (n < 64 && (fds[n] = dup(first)) >= 0)
		n++;
	/* One is left for the client's end, none for the server's. */
	close(fds[--n]);
	fd = dial();
	let_it_see();
	while (n--)
		close(fds[n]);
	setrlimit(RLIMIT_NOFILE, &rl);
	send_all(fd, GET("/hello"));
	read_to_end(fd, &in);
	cr_assert(has(&in, "\r\n\r\nhello"));
	close(fd);
	close(first);
	sem_wait(&closed);
	strbuf_free(&in);
	stop();
}

Test(http_limits, freeing_closes_connections_and_ends_requests)
{
	struct strbuf in = { 0 };
	int fd;

	start((struct http_opts){ .max_connections = 9 });
	fd = dial();
	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	stop();
	cr_assert_eq(sem_trywait(&closed), 0);
	read_to_end(fd, &in);
	cr_assert_eq(in.len, 0);
	close(fd);
}
