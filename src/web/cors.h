/*
 * cors: scripts of other web sites, of http.cors_origins only. Loop thread only.
 *
 * They send a token; cookies are never accepted from them, nor any answer's content
 * told when a cookie went along.
 */
#pragma once

#include "slipway/http.h"

struct web;

/* Before each answer, of a refused request, too. */
void cors_begin(const struct web *w, struct http_req r);
/* The handler of OPTIONS; arg is the struct web. */
void cors_preflight(struct http_req r, void *arg);
