/* SPDX-License-Identifier: Apache-2.0 */
/* What lives as long as a context: host services, the environment as it was read once, backends,
 * foreign kernels. */
#ifndef TENON_CONTEXT_H
#define TENON_CONTEXT_H

#include <pthread.h>

#include "backend.h"

enum { TENON_MAX_BACKENDS = 3, TENON_MAX_FOREIGN = 64 };

struct tenon_trace;
struct tenon_foreign;

typedef struct tenon_backend_slot {
    const tenon_backend *backend;
    bool opened;    /* open was tried */
    int32_t status; /* its answer */
    void *state;
    tenon_reason reason;
} tenon_backend_slot;

struct tenon_context {
    tenon_platform platform;
    int32_t backend;           /* TENON_BACKEND_*: forced, or AUTO */
    int32_t log_level;         /* TENON_LOG_*; the most that is written */
    struct tenon_trace *trace; /* NULL: off */
    pthread_mutex_t lock;      /* opening of backends, registration; never taken by run */
    uint32_t warned_ops;       /* operations whose fall-back to the reference has been warned of */
    uint32_t n_backends;
    tenon_backend_slot backends[TENON_MAX_BACKENDS];
    uint32_t n_foreign;
    struct tenon_foreign *foreign[TENON_MAX_FOREIGN];
};

int32_t tenon_context_create(const tenon_context_options *options, tenon_context **out,
                             tenon_error *error);
void tenon_context_destroy(tenon_context *context);

/* The backend's slot, opened; its status says whether it can be used. NULL: not built into this
 * library. */
tenon_backend_slot *tenon_context_backend(tenon_context *context, int32_t backend);

/* The backend for a device type under the context's and the plan's choice; NULL with a text in
 * error. */
tenon_backend_slot *tenon_context_pick(tenon_context *context, int32_t wanted, int32_t device_type,
                                       int32_t op, tenon_error *error);

void tenon_log(const tenon_context *context, int32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The rule for every struct that a host hands in, whose first member is struct_size: not shorter
 * than `known`, what this version knows of it; longer only if all beyond is zero, so that nothing a
 * newer host asked for is dropped in silence. */
int32_t tenon_check_struct(const void *object, uint32_t known, const char *what, int32_t op,
                           tenon_error *error);

/* Copies at most struct_size bytes of an out struct that the caller may have compiled shorter.
 * First member: struct_size. */
void tenon_copy_out(void *destination, const void *source, size_t source_bytes);

#endif /* TENON_CONTEXT_H */
