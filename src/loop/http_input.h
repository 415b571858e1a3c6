/*
 * http_input: from a client's bytes to a request for the handler.
 *
 * A request comes out complete, or refused: by http_guard (its head is no head), by
 * http_gate (it may not come in), or for its deadline. Bytes that are not the request's
 * are dropped, here and as long as it is under way; the connection ends after the answer.
 */
#pragma once

#include "http_priv.h"

/* At the accept; c->evhtp_read is set. */
void http_input_hook(struct http_conn *c);
/* There is something in the bufferevent's input. May end the connection. */
void http_input_bytes(struct http_conn *c);
/* The deadline of a head or body has passed. */
void http_input_late(struct http_conn *c);
