/*
 * page: the layout that all pages share, and the pieces they are made of. Loop thread.
 *
 * A page is text under construction: page_begin(), html_text() and friends, and
 * page_reply(), which answers and frees it. Links are relative to `root`, the way from
 * the page's path to the site's root, so pages work below a prefix of a proxy, too.
 * Pages hold no script and no style of their own (the policy forbids it): what the
 * script needs to know stands in data attributes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "html.h"
#include "slipway/strbuf.h"
#include "web_priv.h"

struct page {
	struct web *web;
	struct http_req req;
	const char *root; /* "" or "../../" */
	struct strbuf html;
	int64_t now; /* clock_wall_ms */
};

struct page_head {
	const char *title;   /* text */
	const char *view;    /* what the script does with it: "jobs", "job", "" */
	const char *version; /* of what it shows, see page_changes; NULL: not live */
	bool bare;	     /* no navigation, for who is not logged in */
	unsigned refresh;    /* s; without a script it is loaded again; 0: never */
	const char *go;	     /* a URL to go on to at once; NULL: none */
};

void page_begin(struct page *p, struct web *w, struct http_req r, const char *root,
		const struct page_head *head);
/* The end of the page, headers, answer; p is as before page_begin(). */
void page_reply(struct page *p, int status);
/* A page that says what is wrong. */
void page_error(struct web *w, struct http_req r, const char *root,
		const struct err *e);

/* The form for POST /login: fields token and next. wrong: what was, or NULL. */
void page_login_form(struct web *w, struct http_req r, int status, const char *next,
		     const char *wrong);
/* A page that leads on to url at once: the way from a request that another site sent to
 * one that is ours. */
void page_go_on(struct web *w, struct http_req r, const char *root, const char *url);

/* Pieces. */
void page_icon(struct strbuf *out, const char *name);
/* The state as an icon and a word. */
void page_badge(struct strbuf *out, enum job_state state);
/* <time>: "3 min ago"; the script keeps it true. Nothing for 0. */
void page_ago(struct page *p, int64_t ms);
/* How long it took, or takes: counted on by the script while to is 0. */
void page_duration(struct page *p, int64_t from, int64_t to);
/* What people call a repository: the end of its URL or path. */
void page_repo_name(struct strbuf *out, const char *repo);
/* A commit by its beginning, a name as it is; in <code>. */
void page_commit(struct strbuf *out, const char *commit);
/* "1,234,567" */
void page_number(struct strbuf *out, uint64_t n);
/* Appends to *url, for href="..." (escaped). */
void page_href(struct strbuf *out, const struct strbuf *url);

/* ui: the files behind the pages, found by a name with their content's hash. */
/* "ui/0123456789ab/app.css" */
void ui_path(struct strbuf *out, const char *name);

/* changes: version of one job's state, or of all jobs (id NULL). */
#define PAGE_VERSION_MAX 64
void page_version(struct web *w, const char *id, char out[PAGE_VERSION_MAX]);
