/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the host how far a long call has come (tenon_host.progress). Any thread adds what it has
 * done; one of them, always the same, speaks to the host. */
#ifndef TENON_PROGRESS_H
#define TENON_PROGRESS_H

#include <stdatomic.h>
#include <time.h>

#include "backend.h"

typedef struct tenon_progress {
    const tenon_host *host;
    const char *what;
    uint64_t total_bytes;
    _Atomic uint64_t done_bytes;
    int64_t next_ns; /* when to speak again */
} tenon_progress;

static inline int64_t tenon_progress_now_ns(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void tenon_progress_say(const tenon_progress *p, uint64_t done_bytes) {
    if (p->host->progress) p->host->progress(p->host->user, p->what, done_bytes, p->total_bytes);
}

static inline void tenon_progress_begin(tenon_progress *p, const tenon_platform *platform,
                                        const char *what, uint64_t total_bytes) {
    p->host = &platform->host, p->what = what, p->total_bytes = total_bytes;
    atomic_init(&p->done_bytes, 0);
    p->next_ns = 0;
    tenon_progress_say(p, 0);
}

/* speaks: this thread is the one that speaks. */
static inline void tenon_progress_add(tenon_progress *p, uint64_t bytes, bool speaks) {
    enum { INTERVAL_NS = 100000000 };
    if (!p->host->progress) return;
    const uint64_t done =
        atomic_fetch_add_explicit(&p->done_bytes, bytes, memory_order_relaxed) + bytes;
    if (!speaks) return;
    const int64_t now = tenon_progress_now_ns();
    if (now < p->next_ns || done >= p->total_bytes)
        return; /* the end is said by tenon_progress_end */
    p->next_ns = now + INTERVAL_NS;
    tenon_progress_say(p, done);
}

static inline void tenon_progress_end(const tenon_progress *p) {
    tenon_progress_say(p, p->total_bytes);
}

#endif
