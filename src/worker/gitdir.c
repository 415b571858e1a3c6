#include "gitdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

static int
write_file(const char *dir, const char *name, int flags, const struct strbuf *b,
	   struct err *e)
{
	cleanup_free char *path = xasprintf("%s/%s", dir, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
				    flags, 0644);

	if (fd < 0)
		return err_sys(e, "%s", path);
	return fs_write_all(fd, strbuf_str(b), b->len, e);
}

int
gitdir_write(const char *dir, const char *name, const char *text, struct err *e)
{
	cleanup_strbuf struct strbuf b = { 0 };

	strbuf_adds(&b, text);
	return write_file(dir, name, O_EXCL, &b, e);
}

/* Inside double quotes, in git's configuration syntax. */
static void
add_quoted(struct strbuf *b, const char *s)
{
	strbuf_addc(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			strbuf_addc(b, '\\');
		strbuf_addc(b, *s);
	}
	strbuf_addc(b, '"');
}

static void
add_origin(struct strbuf *b, const struct gitdir *g)
{
	strbuf_adds(b, "[remote \"origin\"]\n\turl = ");
	add_quoted(b, g->origin);
	strbuf_adds(b, "\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
	if (!g->branch)
		return;
	strbuf_adds(b, "[branch ");
	add_quoted(b, g->branch);
	strbuf_adds(b, "]\n\tremote = origin\n\tmerge = ");

	cleanup_free char *ref = xasprintf("refs/heads/%s", g->branch);

	add_quoted(b, ref);
	strbuf_addc(b, '\n');
}

static int
make_dirs(const char *path, struct err *e)
{
	/* What git wants to see; it makes the others when it needs them. */
	static const char *const dirs[] = { "", "/objects", "/objects/pack", "/refs" };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		cleanup_free char *dir = xasprintf("%s%s", path, dirs[i]);

		if (mkdir(dir, 0755))
			return err_sys(e, "%s", dir);
	}
	return 0;
}

int
gitdir_create(const char *path, const struct gitdir *g, struct err *e)
{
	cleanup_strbuf struct strbuf b = { 0 };

	strbuf_addf(&b, "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n"
		    "\tbare = %s\n", g->bare ? "true" : "false");
	if (!g->bare)
		strbuf_adds(&b, "\tlogallrefupdates = true\n");
	if (g->origin)
		add_origin(&b, g);
	if (make_dirs(path, e) || write_file(path, "config", O_EXCL, &b, e))
		return -1;
	strbuf_reset(&b);
	strbuf_addf(&b, "%s\n", g->head);
	/* Last: a directory without HEAD is not a repository. */
	return write_file(path, "HEAD", O_EXCL, &b, e);
}

int
gitdir_add_submodule(const char *dir, const char *name, const char *url, struct err *e)
{
	cleanup_strbuf struct strbuf b = { 0 };

	strbuf_adds(&b, "[submodule ");
	add_quoted(&b, name);
	strbuf_adds(&b, "]\n\tactive = true\n\turl = ");
	add_quoted(&b, url);
	strbuf_addc(&b, '\n');
	return write_file(dir, "config", O_APPEND, &b, e);
}
