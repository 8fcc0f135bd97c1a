/* SPDX-License-Identifier: Apache-2.0 */
/* Seconds since some moment, never going back. Sources define _POSIX_C_SOURCE 200809L first. */
#ifndef SMOLLM_WALL_CLOCK_H
#define SMOLLM_WALL_CLOCK_H

#include <time.h>

static inline double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
