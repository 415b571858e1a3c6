/*
 * jobspec_check: what one text value of a job may look like.
 *
 * Each function answers what is wrong with s, for people, or NULL. s is valid UTF-8.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

const char *jobspec_check_id(const char *s);
const char *jobspec_check_repo(const char *s);
/* A branch, tag or commit: the rules of git check-ref-format, and no leading '-'. */
const char *jobspec_check_ref(const char *s);
const char *jobspec_check_name(const char *s); /* of a step */
const char *jobspec_check_shell(const char *s);
const char *jobspec_check_label(const char *s);
const char *jobspec_check_runner(const char *s);
const char *jobspec_check_image(const char *s);
const char *jobspec_check_cache_key(const char *s);
const char *jobspec_check_env_name(const char *s);
const char *jobspec_check_secret_name(const char *s);

bool jobspec_has_control(const char *s);
/* The normalised directory of a step in out, or what is wrong. */
const char *jobspec_check_cwd(const char *s, char *out, size_t size);
