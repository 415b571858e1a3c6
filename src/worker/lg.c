#include "lg.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/mem.h"

#define MIB(n) ((size_t)(n) << 20)

static int
set_search_paths(const char *home)
{
	static const int levels[] = { GIT_CONFIG_LEVEL_PROGRAMDATA,
				      GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG };

	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], ""))
			return -1;
	return git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_GLOBAL,
				home ? home : "");
}

static int
set_options(const char *home)
{
	const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");

	if (set_search_paths(home) ||
	    git_libgit2_opts(GIT_OPT_SET_TEMPLATE_PATH, "") ||
	    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0) ||
	    git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0) ||
	    git_libgit2_opts(GIT_OPT_ENABLE_STRICT_OBJECT_CREATION, 0) ||
	    git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 0) ||
	    git_libgit2_opts(GIT_OPT_DISABLE_PACK_KEEP_FILE_CHECKS, 1) ||
	    /* Whole packs mapped would meet the limit of address space. */
	    git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, MIB(32)) ||
	    git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, MIB(256)))
		return -1;
	if (!file && !dir)
		return 0;
	return git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, file, dir);
}

static int
init(const char *home, struct err *e)
{
	int rc = git_libgit2_init();

	if (rc < 0)
		return lg_error(e, rc, "libgit2");
	rc = set_options(home);
	return rc < 0 ? lg_error(e, rc, "libgit2's options") : 0;
}

int
lg_init(struct err *e)
{
	return init(NULL, e);
}

int
lg_reinit(const char *home, struct err *e)
{
	git_libgit2_shutdown();
	/* Older versions look there instead of at the search path. */
	if (home)
		setenv("HOME", home, 1);
	return init(home, e);
}

/* First match wins; class -1 is any, text NULL is any. */
static const struct {
	int class;
	const char *text;
	enum err_code code;
} codes[] = {
	{ GIT_ERROR_NOMEMORY, NULL, ERR_TOO_LARGE },
	{ -1, "No space left", ERR_NO_SPACE },
	{ -1, "quota exceeded", ERR_NO_SPACE },
	{ -1, "File too large", ERR_TOO_LARGE },
	{ -1, "Cannot allocate memory", ERR_TOO_LARGE },
	{ -1, "out of memory", ERR_TOO_LARGE },
	{ -1, "too many objects", ERR_TOO_LARGE },
	{ -1, "failed to connect", ERR_CONNECT },
	{ -1, "failed to resolve", ERR_CONNECT },
	{ -1, "Connection re", ERR_CONNECT }, /* set by peer, fused */
	{ -1, "Permission denied", ERR_SYSTEM },
	{ -1, "status code: 404", ERR_NOT_FOUND },
	{ -1, "status code: 410", ERR_NOT_FOUND },
	{ -1, "status code: 401", ERR_DENIED },
	{ -1, "status code: 403", ERR_DENIED },
	{ -1, "authenticat", ERR_DENIED },
	{ -1, "redirect", ERR_DENIED },
	{ GIT_ERROR_SSL, NULL, ERR_DENIED },
	{ -1, "not found", ERR_NOT_FOUND },
	{ -1, "does not exist", ERR_NOT_FOUND },
	{ -1, "does not appear to be a git", ERR_NOT_FOUND },
	{ GIT_ERROR_NET, NULL, ERR_CONNECT },
	{ GIT_ERROR_HTTP, NULL, ERR_CONNECT },
	{ GIT_ERROR_SSH, NULL, ERR_CONNECT },
	{ GIT_ERROR_OS, NULL, ERR_SYSTEM },
	{ GIT_ERROR_FILESYSTEM, NULL, ERR_SYSTEM },
	{ GIT_ERROR_REFERENCE, NULL, ERR_CORRUPT },
	{ GIT_ERROR_ZLIB, NULL, ERR_CORRUPT },
	{ GIT_ERROR_REPOSITORY, NULL, ERR_CORRUPT },
	{ GIT_ERROR_CONFIG, NULL, ERR_CORRUPT },
	{ GIT_ERROR_ODB, NULL, ERR_CORRUPT },
	{ GIT_ERROR_OBJECT, NULL, ERR_CORRUPT },
	{ GIT_ERROR_TREE, NULL, ERR_CORRUPT },
	{ GIT_ERROR_INDEXER, NULL, ERR_CORRUPT },
	{ GIT_ERROR_TAG, NULL, ERR_CORRUPT },
};

static enum err_code
classify(int rc, int class, const char *text)
{
	if (rc == GIT_EAUTH || rc == GIT_ECERTIFICATE)
		return ERR_DENIED;
	/* What a repository refers to and does not have. */
	if (rc == GIT_ENOTFOUND)
		return class == GIT_ERROR_ODB ? ERR_CORRUPT : ERR_NOT_FOUND;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if ((codes[i].class == -1 || codes[i].class == class) &&
		    (!codes[i].text || strcasestr(text, codes[i].text)))
			return codes[i].code;
	return ERR_INTERNAL;
}

int
lg_error(struct err *e, int rc, const char *fmt, ...)
{
	const git_error *g = git_error_last();
	const char *text = g && g->message ? g->message : "unknown failure";
	char context[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	return err_set(e, classify(rc, g ? g->klass : 0, text), "%s: %s", context,
		       text);
}
