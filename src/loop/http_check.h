/*
 * http_check: is a request's head acceptable? Pure.
 *
 * Hosts are names, IPv4 addresses or IPv6 addresses without brackets, lower case, no
 * port: a port says nothing about who asks, a name does (DNS rebinding).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HOST_MAX 256

struct http_hosts {
	char **names;
	size_t n;
};

void http_hosts_add(struct http_hosts *h, const char *name);
bool http_hosts_has(const struct http_hosts *h, const char *name);
void http_hosts_free(struct http_hosts *h);

/* "Name:8080", "[::1]" and so on to the bare lower-case name; false when malformed. */
bool http_host_name(const char *value, char name[HTTP_HOST_MAX]);
bool http_check_host(const char *value, const struct http_hosts *allowed);
/* "http://name:port" or https, of an allowed host; "null" is not. */
bool http_check_origin(const char *value, const struct http_hosts *allowed);
/* application/json, with or without parameters; NULL is not. */
bool http_check_json(const char *content_type);
/* application/x-www-form-urlencoded, likewise. */
bool http_check_form(const char *content_type);
/* All digits and within 64 bits. */
bool http_check_length(const char *value, uint64_t *len);
/* A header name resp. value that cannot break out of its line. */
bool http_check_header(const char *name, const char *value);
