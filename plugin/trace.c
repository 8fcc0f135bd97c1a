/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "problem_text.h"

enum { MAX_LINE_BYTES = 1 << 18, MAX_PROBLEMS = 1 << 15, TABLE_SIZE = 2 * MAX_PROBLEMS };

/* A problem is known by the 64-bit hash of its line: the lines themselves are in the file. */
typedef struct entry {
    uint64_t id; /* 0: free */
    uint64_t runs;
} entry;

typedef struct tenon_trace {
    pthread_mutex_t lock;
    int file;
    bool broken; /* a write failed; said once */
    uint32_t n_problems;
    uint64_t left_out; /* runs of problems beyond MAX_PROBLEMS or too long for a line */
    entry table[TABLE_SIZE];
    char line[MAX_LINE_BYTES];
} tenon_trace;

/* One write for a line: with O_APPEND, several processes may share the file. */
static void write_line(tenon_context *context, tenon_trace *trace, const char *text, size_t bytes) {
    while (bytes && !trace->broken) {
        ssize_t n = write(trace->file, text, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            trace->broken = true;
            tenon_log(context, TENON_LOG_ERROR,
                      "trace: write failed (errno %d), the trace ends here", errno);
            return;
        }
        text += n;
        bytes -= (size_t)n;
    }
}

int32_t tenon_trace_open(tenon_context *context, const char *path, tenon_error *error) {
    tenon_trace *trace = tenon_platform_allocate(&context->platform, sizeof *trace);
    if (!trace)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, -1, -1, "trace: %zu bytes", sizeof *trace);
    memset(trace, 0, sizeof *trace);
    trace->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (trace->file < 0) {
        int why = errno;
        tenon_platform_release(&context->platform, trace, sizeof *trace);
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "trace file %s cannot be opened for writing (errno %d)", path, why);
    }
    pthread_mutex_init(&trace->lock, NULL);
    context->trace = trace;
    return TENON_OK;
}

static uint64_t hash(const char *text, size_t bytes) {
    uint64_t h =
        0xcbf29ce484222325u; /* FNV-1a, then mixed so that the low bits are good for the table */
    for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
    return h ? h : 1;
}

/* The entry of an id, new or not; NULL if the table has all it takes. */
static entry *find(tenon_trace *trace, uint64_t id) {
    uint32_t at = (uint32_t)id & (TABLE_SIZE - 1);
    while (trace->table[at].id && trace->table[at].id != id) at = (at + 1) & (TABLE_SIZE - 1);
    if (!trace->table[at].id && trace->n_problems == MAX_PROBLEMS) return NULL;
    return &trace->table[at];
}

static void record(tenon_context *context, tenon_trace *trace, const tenon_plan *plan,
                   const void *args) {
    enum { ID_BYTES = 32 };
    bool on_host = plan->backend->id == TENON_BACKEND_CPU;
    size_t bytes = tenon_problem_text(plan->signature.schema, args, on_host, trace->line,
                                      sizeof trace->line - ID_BYTES);
    uint64_t id = hash(trace->line, bytes);
    entry *e = bytes ? find(trace, id) : NULL;
    if (!e) {
        trace->left_out++;
        return;
    }
    e->runs++;
    if (e->id) return;
    e->id = id;
    trace->n_problems++;
    bytes +=
        (size_t)snprintf(trace->line + bytes, ID_BYTES, " # id=%016llx\n", (unsigned long long)id);
    write_line(context, trace, trace->line, bytes);
}

void tenon_trace_run(const tenon_plan *plan, const void *args) {
    tenon_trace *trace = plan->context->trace;
    pthread_mutex_lock(&trace->lock);
    record(plan->context, trace, plan, args);
    pthread_mutex_unlock(&trace->lock);
}

void tenon_trace_close(tenon_context *context) {
    tenon_trace *trace = context->trace;
    if (!trace) return;
    for (uint32_t i = 0; i < TABLE_SIZE; i++) {
        const entry *e = &trace->table[i];
        if (e->runs < 2) continue;
        int bytes = snprintf(trace->line, sizeof trace->line, "# runs=%llu id=%016llx\n",
                             (unsigned long long)e->runs, (unsigned long long)e->id);
        write_line(context, trace, trace->line, (size_t)bytes);
    }
    if (trace->left_out) {
        int bytes = snprintf(trace->line, sizeof trace->line, "# left_out=%llu\n",
                             (unsigned long long)trace->left_out);
        write_line(context, trace, trace->line, (size_t)bytes);
    }
    close(trace->file);
    pthread_mutex_destroy(&trace->lock);
    tenon_platform_release(&context->platform, trace, sizeof *trace);
    context->trace = NULL;
}
