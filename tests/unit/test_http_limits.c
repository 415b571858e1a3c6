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
	/* Two turns: in one of them the server has tried to accept. */
	on_server(do_nothing, NULL);
	on_server(do_nothing, NULL);
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
