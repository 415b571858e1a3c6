#include "slipway/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "slipway/bus.h"
#include "slipway/checkout.h"
#include "slipway/conf.h"
#include "slipway/db.h"
#include "slipway/db_check.h"
#include "slipway/engine.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/loop.h"
#include "slipway/mem.h"
#include "slipway/pool.h"
#include "slipway/sdnotify.h"
#include "slipway/version.h"
#include "slipway/web.h"

/*
 *	options → configuration → parts[] up, in order → ready → loop
 *	SIGTERM → stop listening and starting → what is pending is committed → parts[] down
 *	SIGINT in --dev → cancel running jobs first;  SIGHUP → reload;  SIGUSR1 → dump
 */

#define DEFAULT_CONF SLIPWAY_SYSCONF_DIR "/slipway.yaml"
#define OVERRIDES_MAX 64

struct options {
	const char *file;
	struct conf_override over[OVERRIDES_MAX];
	size_t nover;
	bool dev, check, print;
	int exit; /* -1: go on */
};

struct daemon {
	struct options opt;
	struct conf *conf;
	struct loop *loop;
	struct pool *pool;
	struct db *db;
	struct bus *bus;
	struct checkouts *checkouts;
	struct engine *engine;
	struct web *web;
	struct loop_signal *signals[4];
	struct loop_timer *settle, *watchdog;
	int64_t watchdog_ms;
	uint16_t port;
	bool ending, reloading, reload_again;
	void (*reload_done)(void *of); /* who waits for it; may be NULL */
	void *reload_of;
};

/* The command line. */

static const char usage_text[] =
	"usage: slipwayd [-t] [-c FILE] [-o KEY=VALUE]... [--dev]\n"
	"\n"
	"The slipway daemon: takes jobs over HTTP, runs them in sandboxes, keeps their logs.\n"
	"\n"
	"  -c, --config FILE      read this configuration (default " DEFAULT_CONF ")\n"
	"  -o, --option KEY=VALUE set one key, over the file (queue.max_concurrent=4)\n"
	"  -t, --test             check configuration and database, and exit\n"
	"      --print-config     print the configuration in force and exit\n"
	"      --describe-config  print every key with its type, default and meaning\n"
	"      --dev              no file needed: state in ./slipway-state, port 8080,\n"
	"                         local repositories allowed; Ctrl-C cancels running jobs\n"
	"  -V, --version          print the version and exit\n"
	"  -h, --help             print this and exit\n"
	"\n"
	"Signals: TERM stop, jobs go on running; HUP reload; USR1 dump state to the log.\n";

enum { OPT_PRINT = 256, OPT_DESCRIBE, OPT_DEV };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "option", required_argument, NULL, 'o' },
	{ "test", no_argument, NULL, 't' },
	{ "print-config", no_argument, NULL, OPT_PRINT },
	{ "describe-config", no_argument, NULL, OPT_DESCRIBE },
	{ "dev", no_argument, NULL, OPT_DEV },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int
option_override(struct options *o, char *arg)
{
	char *eq = strchr(arg, '=');

	if (!eq || eq == arg || o->nover == OVERRIDES_MAX) {
		fprintf(stderr, "slipwayd: -o takes KEY=VALUE (at most %d of them): %s\n",
			OVERRIDES_MAX, arg);
		return EX_USAGE;
	}
	*eq = '\0';
	o->over[o->nover++] = (struct conf_override){ arg, eq + 1 };
	return -1;
}

static int
print_and_exit(const char *text)
{
	fputs(text, stdout);
	return EX_OK;
}

static int
describe_and_exit(void)
{
	cleanup_strbuf struct strbuf out = { 0 };

	conf_describe(&out);
	return print_and_exit(strbuf_str(&out));
}

static int
option_apply(struct options *o, int c)
{
	switch (c) {
	case 'c': o->file = optarg; return -1;
	case 'o': return option_override(o, optarg);
	case 't': o->check = true; return -1;
	case OPT_PRINT: o->print = true; return -1;
	case OPT_DESCRIBE: return describe_and_exit();
	case OPT_DEV: o->dev = true; return -1;
	case 'V': return print_and_exit("slipwayd " SLIPWAY_VERSION "\n");
	case 'h': return print_and_exit(usage_text);
	default: return EX_USAGE;
	}
}

static void
options_parse(struct options *o, int argc, char **argv)
{
	int c;

	o->exit = -1;
	while (o->exit < 0 && (c = getopt_long(argc, argv, "c:o:tVh", long_options,
					       NULL)) != -1)
		o->exit = option_apply(o, c);
	if (o->exit < 0 && optind < argc) {
		fprintf(stderr, "slipwayd: unexpected argument: %s\n", argv[optind]);
		o->exit = EX_USAGE;
	}
	if (o->exit == EX_USAGE)
		fputs("Try slipwayd --help.\n", stderr);
	if (!o->file && !o->dev && access(DEFAULT_CONF, F_OK) == 0)
		o->file = DEFAULT_CONF;
}

static void on_reloaded(void *arg);

/* Says in the log how it went; see web.h. */
static int
daemon_reload(void *arg, struct strbuf *restart, void (*done)(void *of), void *of,
	      struct err *e)
{
	struct daemon *d = arg;
	struct conf *old = d->conf, *new_;
	const char *line;

	if (d->reloading)
		return err_set(e, ERR_CONFLICT, "another reload is under way");
	new_ = conf_load(d->opt.file, d->opt.dev, d->opt.over, d->opt.nover, e);
	if (!new_) {
		log_error(LOG_CONF, "not reloaded, the old configuration stays: %s",
			  e->msg);
		return -1;
	}
	conf_restart_needed(old, new_, restart);
	for (line = strbuf_str(restart); *line; line += strspn(line, "\n")) {
		int len = (int)strcspn(line, "\n");

		log_warn(LOG_CONF, "%.*s changes only with a restart", len, line);
		line += len;
	}
	d->conf = new_;
	log_set_level_name(new_->log_level);
	checkouts_configure(d->checkouts, new_);
	d->reloading = true;
	d->reload_done = done;
	d->reload_of = of;
	engine_reload(d->engine, new_, on_reloaded, d);
	web_reload(d->web, new_);
	conf_free(old);
	return 0;
}

/* Parts: brought up in this order, taken down backwards, always fully. */

static int
state_up(struct daemon *d, struct err *e)
{
	cleanup_free char *jobs = xasprintf("%s/jobs", d->conf->state_dir);
	/* A root daemon's jobs run as another user, who has to pass through. */
	mode_t mode = geteuid() == 0 ? 0711 : 0700;

	if (fs_mkdir_p(d->conf->state_dir, mode, e) || fs_mkdir_p(jobs, mode, e))
		return err_wrap(e, "state_dir");
	fs_wish_apart(jobs);
	return 0;
}

static int
loop_up(struct daemon *d, struct err *e)
{
	d->loop = loop_new(e);
	return d->loop ? 0 : -1;
}

static void
loop_down(struct daemon *d)
{
	loop_timer_free(d->settle);
	loop_timer_free(d->watchdog);
	for (size_t i = 0; i < ARRAY_LEN(d->signals); i++)
		loop_signal_free(d->signals[i]);
	loop_free(d->loop);
}

static int
pool_up(struct daemon *d, struct err *e)
{
	d->pool = pool_new(d->loop, e);
	return d->pool ? 0 : -1;
}

static void
pool_down(struct daemon *d)
{
	pool_free(d->pool);
}

static int
db_up(struct daemon *d, struct err *e)
{
	cleanup_free char *dir = xasprintf("%s/db", d->conf->state_dir);
	const struct db_opts o = { .dir = dir, .loop = d->loop,
				   .map_size = d->conf->limits_db_size };

	d->db = db_open(&o, e);
	return d->db ? 0 : -1;
}

static void
db_down(struct daemon *d)
{
	db_close(d->db);
}

static int
bus_up(struct daemon *d, struct err *e)
{
	d->bus = bus_new();
	return 0;
}

static void
bus_down(struct daemon *d)
{
	bus_free(d->bus);
}

static int
checkouts_up(struct daemon *d, struct err *e)
{
	d->checkouts = checkouts_new(d->loop, d->pool, d->conf->state_dir,
				     d->conf->libexec_dir, e);
	if (!d->checkouts)
		return -1;
	checkouts_configure(d->checkouts, d->conf);
	return 0;
}

static void
checkouts_down(struct daemon *d)
{
	checkouts_free(d->checkouts);
}

static int
engine_up(struct daemon *d, struct err *e)
{
	const struct engine_deps deps = { .loop = d->loop, .pool = d->pool, .db = d->db,
					  .bus = d->bus, .checkouts = d->checkouts,
					  .conf = d->conf };

	d->engine = engine_new(&deps, e);
	return d->engine ? 0 : -1;
}

static void
engine_down(struct daemon *d)
{
	engine_free(d->engine);
}

static int
web_up(struct daemon *d, struct err *e)
{
	const struct web_deps deps = { .loop = d->loop, .pool = d->pool, .db = d->db,
				       .bus = d->bus, .engine = d->engine,
				       .conf = d->conf, .reload = daemon_reload,
				       .arg = d };

	d->web = web_new(&deps, e);
	return d->web && web_listen(d->web, &d->port, e) == 0 ? 0 : -1;
}

static void
web_down(struct daemon *d)
{
	web_free(d->web);
}

static const struct {
	const char *name;
	int (*up)(struct daemon *d, struct err *e);
	void (*down)(struct daemon *d);
} parts[] = {
	{ "state", state_up, NULL },
	{ "loop", loop_up, loop_down },
	{ "store", db_up, db_down },
	{ "bus", bus_up, bus_down },
	{ "pool", pool_up, pool_down },
	{ "checkouts", checkouts_up, checkouts_down },
	{ "engine", engine_up, engine_down },
	{ "web", web_up, web_down },
};

static void
parts_down(struct daemon *d, size_t n)
{
	while (n-- > 0)
		if (parts[n].down)
			parts[n].down(d);
}

static int
parts_up(struct daemon *d)
{
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i].up(d, &e) == 0)
			continue;
		log_error(LOG_DAEMON, "%s: %s", parts[i].name, e.msg);
		/* A part that failed may have come up in part. */
		parts_down(d, i + 1);
		return -1;
	}
	return 0;
}

/* Signals. */

static void
on_settled(void *arg)
{
	struct daemon *d = arg;

	if (db_pending(d->db) == 0)
		loop_stop(d->loop);
	else
		loop_timer_set(d->settle, 1);
}

static void
daemon_end(void *arg)
{
	struct daemon *d = arg;

	loop_timer_set(d->settle, 0);
}

static void
on_terminate(int signo, void *arg)
{
	struct daemon *d = arg;

	if (d->ending) {
		/* Nothing depends on being taken down in order: a crash would do, too. */
		log_info(LOG_DAEMON, "asked again, leaving at once");
		_exit(EX_OK);
	}
	d->ending = true;
	sdnotify("STOPPING=1\nSTATUS=jobs run on");
	web_stop_listening(d->web);
	engine_stop_starting(d->engine);
	if (signo == SIGINT && d->conf->dev) {
		log_info(LOG_DAEMON, "interrupted: cancelling running jobs (again: leave "
				     "them running)");
		engine_cancel_all(d->engine, daemon_end, d);
	} else {
		log_info(LOG_DAEMON, "stopping; running jobs go on");
		daemon_end(d);
	}
}

static void
on_reload(int signo, void *arg)
{
	struct daemon *d = arg;
	cleanup_strbuf struct strbuf restart = { 0 };
	struct err e = { 0 };

	d->reload_again = d->reloading;
	if (d->reloading)
		return;
	sdnotify_reloading();
	if (daemon_reload(d, &restart, NULL, NULL, &e))
		sdnotify("READY=1");
}

static void
on_reloaded(void *arg)
{
	struct daemon *d = arg;

	log_info(LOG_CONF, "reloaded");
	sdnotify("READY=1");
	d->reloading = false;
	if (d->reload_done)
		d->reload_done(d->reload_of);
	if (d->reload_again && !d->ending)
		on_reload(SIGHUP, d);
}

static void
on_dump(int signo, void *arg)
{
	struct daemon *d = arg;
	cleanup_strbuf struct strbuf out = { 0 };

	engine_dump(d->engine, &out);
	web_dump(d->web, &out);
	for (char *s = out.data, *line; s && (line = strsep(&s, "\n"));)
		if (*line)
			log_info(LOG_DAEMON, "%s", line);
}

static void
signals_up(struct daemon *d)
{
	static const struct {
		int signo;
		void (*on_signal)(int signo, void *arg);
	} table[] = { { SIGTERM, on_terminate }, { SIGINT, on_terminate },
		      { SIGHUP, on_reload }, { SIGUSR1, on_dump } };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		d->signals[i] = loop_signal_new(d->loop, table[i].signo,
						table[i].on_signal, d);
	d->settle = loop_timer_new(d->loop, on_settled, d);
}

/* The service manager: what it asked to be told, and that the reactor still turns. */

static void
on_watchdog(void *arg)
{
	struct daemon *d = arg;

	sdnotify("WATCHDOG=1");
	loop_timer_set(d->watchdog, d->watchdog_ms);
}

static void
notify_ready(struct daemon *d)
{
	sdnotify("READY=1\nSTATUS=slipwayd " SLIPWAY_VERSION " takes jobs");
	d->watchdog_ms = sdnotify_watchdog_ms() / 3;
	if (!d->watchdog_ms || d->watchdog)
		return;
	d->watchdog = loop_timer_new(d->loop, on_watchdog, d);
	loop_timer_set(d->watchdog, 0);
}

static void
print_ready(struct daemon *d)
{
	if (d->port)
		printf("slipwayd ready on http://127.0.0.1:%u\n", d->port);
	else
		printf("slipwayd ready on unix:%s\n", d->conf->http_unix_socket);
	fflush(stdout);
	notify_ready(d);
}

static void
raise_limits(void)
{
	struct rlimit rl;

	/* What is private is made with a mode that says so. */
	umask(022);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int
daemon_run(struct daemon *d)
{
	raise_limits();
	if (parts_up(d))
		return EX_UNAVAILABLE;
	signals_up(d);
	log_info(LOG_DAEMON, "slipwayd " SLIPWAY_VERSION " instance=%s state=%s",
		 db_instance(d->db), d->conf->state_dir);
	print_ready(d);
	loop_run(d->loop);
	engine_detach(d->engine);
	pool_stop(d->pool);
	parts_down(d, ARRAY_LEN(parts));
	return EX_OK;
}

/* -t: would a start go well, as far as configuration and stored data tell? */
static int
check_and_exit(const struct conf *c)
{
	cleanup_free char *dir = xasprintf("%s/db", c->state_dir);
	struct err e = { 0 };
	int schema = db_check(dir, &e);

	if (schema < 0 && e.sys == 0) {
		fprintf(stderr, "slipwayd: %s\n", e.msg);
		return EX_CONFIG;
	}
	puts("configuration ok");
	if (schema < 0)
		fprintf(stderr, "slipwayd: database not checked: %s\n", e.msg);
	else if (schema > 0)
		printf("database ok, schema %d\n", schema);
	return EX_OK;
}

int
daemon_main(int argc, char **argv)
{
	struct daemon d = { 0 };
	cleanup_strbuf struct strbuf text = { 0 };
	struct err e = { 0 };
	int code;

	options_parse(&d.opt, argc, argv);
	if (d.opt.exit >= 0)
		return d.opt.exit;
	d.conf = conf_load(d.opt.file, d.opt.dev, d.opt.over, d.opt.nover, &e);
	if (!d.conf) {
		fprintf(stderr, "slipwayd: %s\n", e.msg);
		return EX_CONFIG;
	}
	log_set_level_name(d.conf->log_level);
	if (d.opt.print) {
		conf_print(d.conf, &text);
		code = print_and_exit(strbuf_str(&text));
	} else if (d.opt.check) {
		code = check_and_exit(d.conf);
	} else {
		code = daemon_run(&d);
	}
	conf_free(d.conf);
	return code;
}
