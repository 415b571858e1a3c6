/*
 * version: what this build calls itself, and where its files are; configure sets them.
 */
#pragma once

#ifdef PACKAGE_VERSION
#define SLIPWAY_VERSION PACKAGE_VERSION
#else
#define SLIPWAY_VERSION "0"
#endif
#ifndef SLIPWAY_SYSCONF_DIR
#define SLIPWAY_SYSCONF_DIR "/etc/slipway"
#endif
