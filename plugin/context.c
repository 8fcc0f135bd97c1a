/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* secure_getenv */
#include "context.h"

#include <stdlib.h>
#include <string.h>

#include "foreign.h"
#include "registry.h"
#include "trace.h"

static void *default_allocate(void *user, size_t bytes, size_t alignment) {
    void *pointer = NULL;
    (void)user;
    return posix_memalign(&pointer, alignment < sizeof(void *) ? sizeof(void *) : alignment,
                          bytes ? bytes : 1)
               ? NULL
               : pointer;
}

static void default_release(void *user, void *pointer, size_t bytes, size_t alignment) {
    (void)user, (void)bytes, (void)alignment;
    free(pointer);
}

static void default_log(void *user, int32_t level, const char *text) {
    (void)user, (void)level;
    fprintf(stderr, "tenon: %s\n", text);
}

void tenon_log(const tenon_context *context, int32_t level, const char *format, ...) {
    char text[1200];
    va_list list;
    if (level > context->log_level) return;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    context->platform.host.log(context->platform.host.user, level, text);
}

void tenon_copy_out(void *destination, const void *source, size_t source_bytes) {
    uint32_t size;
    memcpy(&size, destination, sizeof size);
    memcpy((char *)destination + sizeof size, (const char *)source + sizeof size,
           (size < source_bytes ? size : source_bytes) - sizeof size);
}

int32_t tenon_check_struct(const void *object, uint32_t known, const char *what, int32_t op,
                           tenon_error *error) {
    enum { longest = 4096 };
    uint32_t size;
    memcpy(&size, object, sizeof size);
    if (size < known || size > longest)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, op, -1,
                          "%s: struct_size=%u, expected %u to %d", what, size, known, (int)longest);
    for (uint32_t i = known; i < size; i++)
        if (((const unsigned char *)object)[i])
            return tenon_fail(error, TENON_STATUS_UNSUPPORTED, op, -1,
                              "%s: byte %u is set, beyond the %u that version %u.%u knows", what, i,
                              known, TENON_VERSION_MAJOR, TENON_VERSION_MINOR);
    return TENON_OK;
}

/* What the host does not lend is replaced by our own. */
static int32_t adopt_host(const tenon_host *given, tenon_platform *platform, tenon_error *error) {
    tenon_host *host = &platform->host;
    if (given) {
        int32_t status = tenon_check_struct(given, sizeof *given, "host", -1, error);
        if (status) return status;
        *host = *given;
        if (!host->allocate != !host->release)
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                              "host: allocate and release must be given together");
    }
    host->struct_size = sizeof *host;
    if (!host->allocate) host->allocate = default_allocate, host->release = default_release;
    if (!host->log) host->log = default_log;
    return TENON_OK;
}

static const struct {
    const char *name;
    int32_t value;
} backend_names[] = {{"auto", TENON_BACKEND_AUTO},
                     {"cpu", TENON_BACKEND_CPU},
                     {"cuda", TENON_BACKEND_CUDA},
                     {"rocm", TENON_BACKEND_ROCM}},
  log_names[] = {{"none", TENON_LOG_NONE},
                 {"error", TENON_LOG_ERROR},
                 {"warn", TENON_LOG_WARN},
                 {"info", TENON_LOG_INFO},
                 {"debug", TENON_LOG_DEBUG}};

static int32_t read_backend(tenon_context *context, int32_t option, tenon_error *error) {
    const char *text = secure_getenv("TENON_BACKEND");
    context->backend = option;
    if (option || !text || !*text) return TENON_OK;
    for (size_t i = 0; i < sizeof backend_names / sizeof backend_names[0]; i++)
        if (!strcmp(text, backend_names[i].name)) {
            context->backend = backend_names[i].value;
            return TENON_OK;
        }
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                      "TENON_BACKEND=%s, expected auto, cpu, cuda or rocm", text);
}

static int32_t read_log_level(tenon_context *context, int32_t option, tenon_error *error) {
    const char *text = secure_getenv("TENON_LOG");
    context->log_level = option < 0 ? TENON_LOG_NONE : option ? option : TENON_LOG_WARN;
    if (option || !text || !*text) return TENON_OK;
    for (size_t i = 0; i < sizeof log_names / sizeof log_names[0]; i++)
        if (!strcmp(text, log_names[i].name)) {
            context->log_level = log_names[i].value;
            return TENON_OK;
        }
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                      "TENON_LOG=%s, expected none, error, warn, info or debug", text);
}

int32_t tenon_context_create(const tenon_context_options *given, tenon_context **out,
                             tenon_error *error) {
    tenon_context_options options;
    tenon_platform platform;
    memset(&options, 0, sizeof options);
    memset(&platform, 0, sizeof platform);
    if (!out)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "context_create: out is NULL");
    if (given) {
        int32_t status = tenon_check_struct(given, sizeof options, "context options", -1, error);
        if (status) return status;
        options = *given;
    }
    if (options.backend < 0 || options.backend >= TENON_BACKEND_COUNT)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "context options: backend=%d, expected 0 to %d", options.backend,
                          TENON_BACKEND_COUNT - 1);
    if (options.n_threads < 0 || options.n_threads > 4096)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "context options: n_threads=%d, expected 0 to 4096", options.n_threads);
    if (options.log_level < -1 || options.log_level >= TENON_LOG_COUNT)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "context options: log_level=%d, expected -1 to %d", options.log_level,
                          TENON_LOG_COUNT - 1);
    int32_t status = adopt_host(options.host, &platform, error);
    if (status) return status;
    platform.n_threads = options.n_threads;
    platform.cpu_features = options.cpu_features;

    tenon_context *context = tenon_platform_allocate(&platform, sizeof *context);
    if (!context)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, -1, -1, "context_create: %zu bytes",
                          sizeof *context);
    memset(context, 0, sizeof *context);
    context->platform = platform;
    pthread_mutex_init(&context->lock, NULL);
    uint32_t count;
    const tenon_backend *const *all = tenon_registry_backends(&count);
    for (uint32_t i = 0; i < count; i++) context->backends[context->n_backends++].backend = all[i];

    status = read_log_level(context, options.log_level, error);
    if (!status) status = read_backend(context, options.backend, error);
    const char *trace_path = options.trace_path ? options.trace_path : secure_getenv("TENON_TRACE");
    if (!status && trace_path && *trace_path) status = tenon_trace_open(context, trace_path, error);
    if (status) {
        tenon_context_destroy(context);
        return status;
    }
    *out = context;
    return TENON_OK;
}

void tenon_context_destroy(tenon_context *context) {
    if (!context) return;
    for (uint32_t i = 0; i < context->n_backends; i++)
        if (context->backends[i].opened && !context->backends[i].status)
            context->backends[i].backend->close(context->backends[i].state, &context->platform);
    for (uint32_t i = 0; i < context->n_foreign; i++)
        tenon_foreign_destroy(context, context->foreign[i]);
    tenon_trace_close(context);
    pthread_mutex_destroy(&context->lock);
    tenon_platform platform = context->platform;
    tenon_platform_release(&platform, context, sizeof *context);
}

tenon_backend_slot *tenon_context_backend(tenon_context *context, int32_t backend) {
    tenon_backend_slot *slot = NULL;
    for (uint32_t i = 0; i < context->n_backends; i++)
        if (context->backends[i].backend->id == backend) slot = &context->backends[i];
    if (!slot) return NULL;
    pthread_mutex_lock(&context->lock);
    if (!slot->opened) {
        slot->status = slot->backend->open(&context->platform, &slot->state, &slot->reason);
        slot->opened = true;
    }
    pthread_mutex_unlock(&context->lock);
    return slot;
}

tenon_backend_slot *tenon_context_pick(tenon_context *context, int32_t wanted, int32_t device_type,
                                       int32_t op, tenon_error *error) {
    int32_t forced = wanted ? wanted : context->backend;
    tenon_backend_slot *slot = NULL;
    if (forced) {
        const char *name = backend_names[forced].name;
        slot = tenon_context_backend(context, forced);
        if (!slot)
            return tenon_fail(error, TENON_STATUS_NOT_AVAILABLE, op, -1,
                              "backend %s is not built into this library", name),
                   NULL;
        if (!slot->backend->accepts_device(device_type))
            return tenon_fail(error, TENON_STATUS_UNSUPPORTED, op, -1,
                              "backend %s was asked for, but the tensors are on device type %d",
                              name, device_type),
                   NULL;
    }
    for (uint32_t i = 0; !slot && i < context->n_backends; i++)
        if (context->backends[i].backend->accepts_device(device_type))
            slot = tenon_context_backend(context, context->backends[i].backend->id);
    if (!slot)
        return tenon_fail(error, TENON_STATUS_UNSUPPORTED, op, -1,
                          "no backend of this build takes tensors on device type %d", device_type),
               NULL;
    if (slot->status)
        return tenon_fail(error, slot->status, op, -1, "backend %s: %s", slot->backend->name,
                          slot->reason.text),
               NULL;
    return slot;
}
