/*
 * http_listen: listening sockets, non-blocking and close-on-exec.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "slipway/err.h"

/* As much as the kernel allows: what overflows it is lost without a word. */
#define HTTP_BACKLOG 4096

/* addr is "127.0.0.1:8080" or "[::1]:0"; the bound port goes to *port. */
int http_listen_inet(const char *addr, uint16_t *port, int *fd, struct err *e);
/* A socket file that nothing answers on is replaced; a live one is ERR_CONFLICT. */
int http_listen_local(const char *path, int *fd, struct err *e);
/* "127.0.0.1:4711", "[::1]:4711". */
void http_peer_name(const struct sockaddr *sa, char *name, size_t size);
