#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "http_rig.h"

TestSuite(http, .init = set_up, .fini = stop, .timeout = 30);

Test(http, a_get_is_answered_with_its_length)
{
	struct strbuf in = ask(GET("/hello"));

	cr_assert(begins(&in, "HTTP/1.1 200 OK\r\n"));
	cr_assert(has(&in, "Content-Length: 5\r\n"));
	cr_assert(has(&in, "X-Content-Type-Options: nosniff\r\n"));
	cr_assert(has(&in, "Connection: close\r\n"));
	cr_assert(has(&in, "\r\n\r\nhello"));
	cr_assert_not(has(&in, "twice"));
	strbuf_free(&in);
}

Test(http, a_connection_serves_one_request_after_another)
{
	struct strbuf in = { 0 };
	int fd = dial();

	for (int i = 0; i < 50; i++) {
		send_all(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		read_until(fd, &in, "\r\n\r\nhello");
		cr_assert_not(has(&in, "Connection:"));
		strbuf_reset(&in);
	}
	close(fd);
	strbuf_free(&in);
}

Test(http, its_sockets_are_close_on_exec)
{
	struct sockaddr_in in;
	struct strbuf answer = { 0 };
	int own = dial(), sockets = 0;

	send_all(own, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	read_until(own, &answer, "hello");
	for (int fd = 3; fd < 100; fd++) {
		socklen_t len = sizeof(in);

		if (getsockname(fd, (struct sockaddr *)&in, &len) < 0 ||
		    in.sin_family != AF_INET || ntohs(in.sin_port) != port)
			continue;
		cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		sockets++;
	}
	cr_assert_eq(sockets, 2, "%d instead of a listener and a connection", sockets);
	close(own);
	strbuf_free(&answer);
}

Test(http, a_connection_ends_after_its_hundredth_request)
{
	struct strbuf in = { 0 };
	int fd = dial();

	for (int i = 0; i < 99; i++) {
		strbuf_reset(&in);
		send_all(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		read_until(fd, &in, "\r\n\r\nhello");
		cr_assert_not(has(&in, "Connection: close"));
	}
	send_all(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	read_to_end(fd, &in);
	cr_assert(has(&in, "Connection: close"));
	close(fd);
	strbuf_free(&in);
}

Test(http, late_answers_work_with_keepalive)
{
	char first[] = "answer 1", second[] = "answer 2";
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	on_server(answer_pending, first);
	read_until(fd, &in, "\r\n\r\nanswer 1");
	sem_wait(&closed);
	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	on_server(answer_pending, second);
	read_until(fd, &in, "\r\n\r\nanswer 2");
	close(fd);
	strbuf_free(&in);
}

static void
use_dead_handle(void *arg)
{
	size_t len = 1;

	cr_assert_not(http_req_alive(pending));
	cr_assert_null(http_req_path(pending));
	cr_assert_null(http_req_header(pending, "Host"));
	cr_assert_null(http_req_body(pending, &len));
	cr_assert_eq(len, 0);
	http_reply(pending, 200, "text/plain", "x", 1);
	http_stream_start(pending, 200, "text/plain");
	http_stream_write(pending, "x", 1);
	http_stream_end(pending);
}

static void
disconnect_while_pending(bool reset)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	int fd = dial();

	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	sem_wait(&closed);
	on_server(use_dead_handle, NULL);
	cr_assert_eq(sem_trywait(&closed), -1, "closed twice");
}

Test(http, a_client_that_leaves_kills_its_pending_handle)
{
	disconnect_while_pending(false);
}

Test(http, a_client_that_resets_kills_its_pending_handle)
{
	disconnect_while_pending(true);
}

Test(http, a_client_that_leaves_kills_its_stream)
{
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "GET /open HTTP/1.1\r\n" HOST "\r\n");
	read_until(fd, &in, "first");
	close(fd);
	sem_wait(&closed);
	on_server(use_dead_handle, NULL);
	strbuf_free(&in);
}

Test(http, a_handle_does_not_survive_into_the_next_request)
{
	char text[] = "x";
	struct strbuf in = { 0 };
	struct http_req old;
	int fd = dial();

	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	old = pending;
	on_server(answer_pending, text);
	read_until(fd, &in, "\r\n\r\nx");
	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	cr_assert_eq(old.slot, pending.slot);
	cr_assert_neq(old.gen, pending.gen);
	close(fd);
	strbuf_free(&in);
}

Test(http, head_gets_the_head_only_and_keeps_the_connection)
{
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "HEAD /hello HTTP/1.1\r\n" HOST "\r\n");
	read_until(fd, &in, "\r\n\r\n");
	cr_assert(has(&in, "Content-Length: 5\r\n"));
	send_all(fd, "GET /empty HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	read_to_end(fd, &in);
	cr_assert_not(has(&in, "hello"));
	cr_assert(has(&in, "\r\n\r\nHTTP/1.1 204 No Content\r\n"));
	close(fd);
	strbuf_free(&in);
}

Test(http, head_of_a_stream_has_no_body)
{
	struct strbuf in = ask("HEAD /stream HTTP/1.1\r\n" HOST
			       "Connection: close\r\n\r\n");

	cr_assert(begins(&in, "HTTP/1.1 200"));
	cr_assert_not(has(&in, "one"));
	cr_assert_str_eq(in.data + in.len - 4, "\r\n\r\n");
	strbuf_free(&in);
}

Test(http, a_204_has_neither_body_nor_length)
{
	struct strbuf in = ask(GET("/empty"));

	cr_assert(begins(&in, "HTTP/1.1 204 No Content\r\n"));
	cr_assert_not(has(&in, "Content-"
			       "Length"));
	strbuf_free(&in);
}

Test(http, a_stream_is_chunked_and_ends_with_its_connection)
{
	struct strbuf in = ask("GET /stream HTTP/1.1\r\n" HOST "\r\n");

	cr_assert(has(&in, "Transfer-Encoding: chunked\r\n"));
	cr_assert(has(&in, "Connection: close\r\n"));
	cr_assert(has(&in, "\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
	strbuf_free(&in);
}

Test(http, a_stream_to_http_1_0_is_plain_and_ends_with_the_connection)
{
	struct strbuf in = ask("GET /stream HTTP/1.0\r\n" HOST
			       "Connection: keep-alive\r\n\r\n");

	cr_assert(begins(&in, "HTTP/1.0 200 OK\r\n"));
	cr_assert_not(has(&in, "chunked"));
	cr_assert(has(&in, "\r\n\r\nonetwo"));
	strbuf_free(&in);
}

Test(http, http_1_0_keeps_the_connection_only_when_asked)
{
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "GET /hello HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n");
	read_until(fd, &in, "\r\n\r\nhello");
	cr_assert(has(&in, "Connection: keep-alive\r\n"));
	strbuf_reset(&in);
	send_all(fd, "GET /hello HTTP/1.0\r\n" HOST "\r\n");
	read_to_end(fd, &in);
	cr_assert(has(&in, "Connection: close\r\n"));
	close(fd);
	strbuf_free(&in);
}

static void
end_pending_stream(void *arg)
{
	http_stream_end(pending);
}

Test(http, a_drained_http_1_0_stream_closes_at_its_end)
{
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "GET /open HTTP/1.0\r\n" HOST "\r\n");
	read_until(fd, &in, "first");
	on_server(end_pending_stream, NULL);
	read_to_end(fd, &in);
	sem_wait(&closed);
	close(fd);
	strbuf_free(&in);
}

Test(http, drains_pace_a_large_stream)
{
	struct strbuf in = ask("GET /big HTTP/1.0\r\n" HOST "\r\n");
	const char *body = strstr(in.data, "\r\n\r\n") + 4;

	cr_assert_eq(in.len - (size_t)(body - in.data), BIG);
	cr_assert_geq(drains, BIG / (64 * 1024));
	cr_assert_leq(big_peak, 64 * 1024);
	strbuf_free(&in);
}

Test(http, of_two_pipelined_requests_the_first_is_answered)
{
	struct strbuf in = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n"
			       "GET /rest/second HTTP/1.1\r\n" HOST "\r\n");

	cr_assert(has(&in, "\r\n\r\nhello"));
	cr_assert(has(&in, "Connection: close\r\n"));
	cr_assert_not(has(&in, "second"));
	strbuf_free(&in);
}

Test(http, a_request_during_a_pending_one_does_not_disturb_it)
{
	char text[] = "still here";
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	send_all(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	on_server(answer_pending, text);
	read_until(fd, &in, "still here");
	/* Whether it came before or after the answer, there is no second one. */
	read_to_end(fd, &in);
	cr_assert_not(has(&in, "\r\n\r\nhello"));
	close(fd);
	strbuf_free(&in);
}

Test(http, a_handler_sees_path_peer_and_headers)
{
	struct strbuf in = ask("GET /%61bout HTTP/1.1\r\n" HOST
			       "X-Value: 7\r\nX-Empty:\r\nConnection: close\r\n\r\n");

	cr_assert(has(&in, "/about|127.0.0.1:"), "%s", strbuf_str(&in));
	cr_assert(has(&in, "|7|0"));
	strbuf_free(&in);
}

static void
listen_again(void *arg)
{
	struct err e = { 0 };

	cr_assert_eq(http_listen_unix(http, arg, &e), 0, "%s", e.msg);
}

static int
dial_unix(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(STR_COPY(un.sun_path, path));
	cr_assert_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void
stop_listening(void *arg)
{
	http_stop_listening(http);
}

Test(http, a_unix_socket_takes_any_host_and_replaces_a_stale_file)
{
	char dir[] = "/tmp/test-http-XXXXXX", path[64];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct strbuf in = { 0 };
	struct stat st;
	int fd;

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	STR_COPY(un.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);

	on_server(listen_again, path);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0660);
	fd = dial_unix(path);
	send_all(fd,
		 "GET /about HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n");
	read_to_end(fd, &in);
	cr_assert(has(&in, "/about|unix|none|1"));
	close(fd);
	on_server(stop_listening, NULL);
	cr_assert_eq(stat(path, &st), -1);
	rmdir(dir);
	strbuf_free(&in);
}

static void
listen_fails(void *arg)
{
	struct err e = { 0 };

	cr_assert_eq(http_listen_unix(http, arg, &e), -1);
	cr_assert_eq(e.code, ERR_CONFLICT);
}

Test(http, a_live_unix_socket_and_a_plain_file_are_left_alone)
{
	char dir[] = "/tmp/test-http-XXXXXX", path[64], file[64];
	FILE *f;

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(file, sizeof(file), "%s/f", dir);
	on_server(listen_again, path);
	on_server(listen_fails, path);
	close(dial_unix(path));
	f = fopen(file, "we");
	fclose(f);
	on_server(listen_fails, file);
	cr_assert_eq(access(file, F_OK), 0);
	unlink(file);
	unlink(path);
	rmdir(dir);
}

Test(http, bad_listen_addresses_are_refused)
{
	static const char *const bad[] = {
		"",	      "localhost:80",	 "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:70000", "[::1]",
		"::1:80",     "[127.0.0.1]:80",	 "1.2.3.4:x"
	};
	struct err e = { 0 };
	uint16_t p;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_eq(http_listen_tcp(http, bad[i], &p, &e), -1, "%s", bad[i]);
}

static void
dump(void *arg)
{
	cr_assert_eq(http_connections(http), 1);
	http_dump(http, arg);
}

Test(http, the_dump_has_a_line_for_a_connection)
{
	cleanup_strbuf struct strbuf out = { 0 };
	int fd = dial();

	send_all(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	sem_wait(&ran);
	on_server(dump, &out);
	cr_assert(has(&out, "phase=wait served=0 path=/later pending=0\n"), "%s",
		  out.data);
	close(fd);
	sem_wait(&closed);
}
