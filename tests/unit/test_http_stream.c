#include "http_rig.h"
#include "slipway/clock.h"

#define OPEN_10 "GET /open HTTP/1.0\r\n" HOST "\r\n"
#define OPEN_11 "GET /open HTTP/1.1\r\n" HOST "\r\n"

TestSuite(http_stream, .timeout = 30);

static void
begin(int64_t stall_ms, int64_t beat_ms)
{
	start((struct http_opts){
		.max_connections = 100, .stall_ms = stall_ms, .beat_ms = beat_ms });
}

/* A client of a stream, and its handle on the server. */
static int
open_stream(const char *request, struct http_req *r)
{
	cleanup_strbuf struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, request);
	sem_wait(&ran);
	*r = pending;
	read_until(fd, &in, "first");
	return fd;
}

struct shared {
	struct http_req *reqs;
	size_t n, len, total;
	char fill;
};

static void
send_shared(void *arg)
{
	struct shared *s = arg;
	char *text = xmalloc(s->len);
	struct http_buf *b;

	memset(text, s->fill, s->len);
	b = http_buf_new(text, s->len);
	for (size_t i = 0; i < s->n; i++)
		http_stream_send(s->reqs[i], b);
	s->total = http_buf_total();
	http_buf_unref(b);
	free(text);
}

static void
end_streams(void *arg)
{
	struct shared *s = arg;

	for (size_t i = 0; i < s->n; i++)
		http_stream_end(s->reqs[i]);
}

static void
get_total(void *arg)
{
	*(size_t *)arg = http_buf_total();
}

static void
get_streams(void *arg)
{
	*(unsigned *)arg = http_streams(http);
}

static unsigned
streams(void)
{
	unsigned n;

	on_server(get_streams, &n);
	return n;
}

static size_t
total(void)
{
	size_t n;

	on_server(get_total, &n);
	return n;
}

Test(http_stream, one_buffer_goes_to_all_in_their_own_framing)
{
	struct http_req reqs[2];
	struct shared s = { .reqs = reqs, .n = 2, .len = 10, .fill = 'x' };
	cleanup_strbuf struct strbuf a = { 0 }, b = { 0 };
	int old, new;

	begin(0, 0);
	old = open_stream(OPEN_10, &reqs[0]);
	new = open_stream(OPEN_11, &reqs[1]);
	on_server(send_shared, &s);
	cr_expect_eq(s.total, 10);
	on_server(end_streams, &s);
	read_to_end(old, &a);
	read_to_end(new, &b);
	cr_expect_str_eq(strbuf_str(&a), "xxxxxxxxxx");
	/* The line end of the first chunk may have been read with it, or not. */
	cr_expect_str_eq(strbuf_str(&b) + strspn(strbuf_str(&b), "\r\n"),
			 "a\r\nxxxxxxxxxx\r\n0\r\n\r\n");
	cr_expect_eq(total(), 0);
	cr_expect_eq(streams(), 0);
	close(old);
	close(new);
	stop();
}

Test(http_stream, what_is_written_in_a_turn_keeps_its_order)
{
	struct http_req r;
	struct shared s = { .reqs = &r, .n = 1, .len = 3 };
	cleanup_strbuf struct strbuf in = { 0 };
	int fd;

	begin(0, 0);
	fd = open_stream(OPEN_10, &r);
	for (int i = 0; i < 200; i++) {
		s.fill = (char)('a' + i % 26);
		on_server(send_shared, &s);
	}
	on_server(end_streams, &s);
	read_to_end(fd, &in);
	cr_assert_eq(in.len, 600);
	for (size_t i = 0; i < in.len; i++)
		cr_assert_eq(in.data[i], 'a' + i / 3 % 26);
	close(fd);
	stop();
}

Test(http_stream, a_stuck_client_holds_a_reference_and_no_more)
{
	struct http_req reqs[2];
	struct shared s = { .reqs = reqs, .n = 2, .len = 8 << 20, .fill = 'y' };
	cleanup_strbuf struct strbuf in = { 0 };
	int stuck, quick;

	begin(0, 0);
	stuck = open_stream(OPEN_10, &reqs[0]);
	quick = open_stream(OPEN_10, &reqs[1]);
	on_server(send_shared, &s);
	s.n = 2;
	on_server(end_streams, &s);
	read_to_end(quick, &in);
	cr_expect_eq(in.len, 8 << 20);
	cr_expect_eq(total(), 8 << 20, "one buffer for both");
	/* Answered, and still on its way. */
	cr_expect_eq(streams(), 1);
	strbuf_reset(&in);
	read_to_end(stuck, &in);
	cr_expect_eq(in.len, 8 << 20);
	while (streams())
		;
	cr_expect_eq(total(), 0);
	close(stuck);
	close(quick);
	stop();
}

Test(http_stream, a_client_that_takes_nothing_is_cut_in_time)
{
	struct http_req r;
	struct shared s = { .reqs = &r, .n = 1, .len = 8 << 20, .fill = 'z' };
	int64_t begun;
	int fd;

	/* The beat of a quick one does not hold up the end of a stuck one. */
	begin(100, 10000);
	fd = open_stream(OPEN_10, &r);
	begun = clock_mono_ms();
	on_server(send_shared, &s);
	sem_wait(&closed);
	cr_expect_geq(clock_mono_ms() - begun, 100);
	cr_expect_lt(clock_mono_ms() - begun, 5000);
	cr_expect_eq(streams(), 0);
	cr_expect_eq(total(), 0);
	close(fd);
	stop();
}

Test(http_stream, over_the_budget_stuck_clients_are_cut_early)
{
	struct http_req reqs[10];
	struct shared s = { .n = 1, .len = 8 << 20, .fill = 'm' };
	int fd[10];

	begin(60000, 60000);
	for (int i = 0; i < 10; i++) {
		fd[i] = open_stream(OPEN_10, &reqs[i]);
		s.reqs = &reqs[i];
		on_server(send_shared, &s);
	}
	/* The rig holds the last one to be the one that ends. */
	pending = (struct http_req){ .slot = UINT32_MAX };
	cr_assert_gt(s.total, HTTP_BUF_BUDGET);
	/* Only until the rest is within the budget. */
	while (total() > HTTP_BUF_BUDGET)
		usleep(10000);
	cr_expect_gt(streams(), 5);
	for (int i = 0; i < 10; i++)
		close(fd[i]);
	stop();
}

static void
set_beat(void *arg)
{
	http_stream_set_beat(*(struct http_req *)arg, ": beat\n\n");
}

Test(http_stream, beats_break_the_silence)
{
	struct http_req r, quiet;
	struct shared s = { .reqs = &quiet, .n = 1 };
	cleanup_strbuf struct strbuf in = { 0 }, none = { 0 };
	int fd, other;

	begin(0, 30);
	fd = open_stream(OPEN_10, &r);
	other = open_stream(OPEN_10, &quiet);
	on_server(set_beat, &r);
	read_until(fd, &in, ": beat\n\n: beat\n\n: beat\n\n");
	on_server(end_streams, &s);
	read_to_end(other, &none);
	cr_expect_eq(none.len, 0, "nobody asked for beats there");
	close(fd);
	close(other);
	stop();
}

static void
drain_again(void *arg)
{
	struct shared *s = arg;

	if (s->len > 3)
		s->n = 0;
	s->len++;
	send_shared(s);
}

static void
watch_drain(void *arg)
{
	struct shared *s = arg;

	http_stream_on_drain(s->reqs[0], drain_again, s);
	send_shared(s);
}

Test(http_stream, each_drain_is_told_once_and_may_write)
{
	struct http_req r;
	struct shared s = { .reqs = &r, .n = 1, .len = 1, .fill = 'd' }, all = s;
	cleanup_strbuf struct strbuf in = { 0 };
	int fd;

	begin(0, 0);
	fd = open_stream(OPEN_10, &r);
	on_server(watch_drain, &s);
	read_until(fd, &in,
		   "d"
		   "dd"
		   "ddd"
		   "dddd");
	on_server(end_streams, &all);
	read_to_end(fd, &in);
	cr_expect_eq(in.len, 10);
	cr_expect_eq(s.len, 5);
	close(fd);
	stop();
}

Test(http_stream, bytes_sent_into_a_stream_are_dropped_up_to_a_limit)
{
	struct http_req r;
	struct shared s = { .reqs = &r, .n = 1, .len = 4, .fill = 'j' };
	cleanup_strbuf struct strbuf in = { 0 };
	char junk[1024] = "junk";
	int fd;

	begin(0, 0);
	fd = open_stream(OPEN_10, &r);
	for (int i = 0; i < 64; i++)
		cr_assert_eq(send(fd, junk, sizeof(junk), 0), (ssize_t)sizeof(junk));
	on_server(send_shared, &s);
	read_until(fd, &in, "jjjj");
	cr_expect_eq(streams(), 1);
	while (streams())
		send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
	sem_wait(&closed);
	close(fd);
	stop();
}

static void
end_pending(void *arg)
{
	http_stream_end(pending);
}

Test(http_stream, a_client_that_closed_its_side_gets_what_is_there)
{
	cleanup_strbuf struct strbuf in = { 0 };
	int fd;

	begin(0, 0);
	fd = dial();
	send_all(fd, "GET /big HTTP/1.0\r\n" HOST "\r\n");
	shutdown(fd, SHUT_WR);
	read_to_end(fd, &in);
	cr_expect_gt(in.len, BIG);
	close(fd);
	stop();
}

Test(http_stream, it_survives_the_end_of_the_server)
{
	struct http_req r;
	struct shared s = { .reqs = &r, .n = 1, .len = 8 << 20, .fill = 'e' };
	int fd[3];

	begin(0, 0);
	for (int i = 0; i < 3; i++)
		fd[i] = open_stream(OPEN_11, &r);
	on_server(send_shared, &s);
	on_server(end_pending, NULL);
	stop();
	cr_expect_eq(http_buf_total(), 0);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}
