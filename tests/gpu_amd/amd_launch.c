/* SPDX-License-Identifier: Apache-2.0
 *
 * A launch: arguments with the hidden ones filled in, memory ranges as they are now, workgroups
 * over the host's cores.
 */
#define _POSIX_C_SOURCE 200809L
#include "amd_module.h"

#include <stdlib.h>
#include <unistd.h>

enum { ARGUMENT_SPARE = 256, PACKET_BYTES = 64, SCALAR_LIMIT = 102 };

typedef struct launch_job {
    amd_launch_state state;
    uint64_t workgroups, next, seed; /* next: handed out so far, atomic */
    uint64_t failed;                 /* lowest workgroup that failed, atomic */
    pthread_mutex_t lock;
    gpu_amd_fault fault;
    gpu_amd_counters counters;
    bool no_memory;
} launch_job;

static bool refuse(gpu_amd_fault *fault, const gpu_amd_kernel *kernel, const char *text) {
    if (fault) {
        memset(fault, 0, sizeof *fault);
        fault->kind = GPU_AMD_BAD_LAUNCH;
        fault->lane = -1;
        snprintf(fault->text, sizeof fault->text, "%.64s: %s",
                 kernel ? kernel->metadata.name : "no kernel", text);
    }
    return false;
}

/* ---- what the kernel reads before it has loaded anything ---- */

static uint64_t hidden_value(const amd_hidden_argument *argument, const gpu_amd_launch *request) {
    switch (argument->what) {
    case AMD_HIDDEN_BLOCK_COUNT:
        return request->grid[argument->axis];
    case AMD_HIDDEN_GROUP_SIZE:
        return request->block[argument->axis];
    case AMD_HIDDEN_GRID_DIMS:
        return request->grid[2] > 1 || request->block[2] > 1   ? 3
               : request->grid[1] > 1 || request->block[1] > 1 ? 2
                                                               : 1;
    case AMD_HIDDEN_DYNAMIC_LDS:
        return request->dynamic_lds_bytes;
    default:
        return 0; /* whole workgroups only: no remainder */
    }
}

/* Arguments, then the dispatch packet. Explicit bytes that the caller leaves out stay poisoned. */
static uint8_t *make_arguments(const gpu_amd_kernel *kernel, const gpu_amd_launch *request,
                               size_t *bytes) {
    const gpu_amd_kernel_info *info = &kernel->metadata.info;
    size_t segment = info->argument_bytes > request->argument_bytes ? info->argument_bytes
                                                                    : request->argument_bytes;
    *bytes = (segment + ARGUMENT_SPARE + PACKET_BYTES + 63) & ~(size_t)63;
    uint8_t *arguments = aligned_alloc(64, *bytes);
    if (!arguments) return NULL;
    memset(arguments, 0, *bytes);
    gpu_amd_poison(arguments, info->explicit_bytes);
    if (request->argument_bytes) memcpy(arguments, request->arguments, request->argument_bytes);
    for (uint32_t i = 0; i < kernel->metadata.hidden_count; i++) {
        const amd_hidden_argument *hidden = &kernel->metadata.hidden[i];
        uint64_t value = hidden_value(hidden, request);
        if (hidden->offset + hidden->bytes <= segment)
            memcpy(arguments + hidden->offset, &value, hidden->bytes);
    }
    /* hsa_kernel_dispatch_packet: sizes of workgroup and grid in threads. */
    uint8_t *packet = arguments + *bytes - PACKET_BYTES;
    for (int axis = 0; axis < 3; axis++) {
        uint16_t block = (uint16_t)request->block[axis];
        uint32_t threads = request->block[axis] * request->grid[axis];
        memcpy(packet + 4 + 2 * axis, &block, 2);
        memcpy(packet + 12 + 4 * axis, &threads, 4);
    }
    return arguments;
}

static int by_start(const void *a, const void *b) {
    const amd_range *left = a, *right = b;
    return left->start < right->start ? -1 : left->start > right->start;
}

/* The registered ranges, the arguments and the module's own image. */
static amd_range *make_ranges(const gpu_amd_module *module, const uint8_t *arguments,
                              size_t argument_bytes, size_t *count, size_t *lines) {
    gpu_amd_device *device = module->device;
    pthread_mutex_lock(&device->lock);
    amd_range *ranges = malloc((device->range_count + 2) * sizeof *ranges);
    if (ranges) {
        *count = device->range_count;
        if (*count) memcpy(ranges, device->ranges, *count * sizeof *ranges);
        ranges[(*count)++] = (amd_range){(uintptr_t)arguments,
                                         (uintptr_t)arguments + argument_bytes, GPU_AMD_READ, 0};
        ranges[(*count)++] =
            (amd_range){(uintptr_t)module->image, (uintptr_t)module->image + module->image_bytes,
                        GPU_AMD_READ | GPU_AMD_WRITE, 0};
        qsort(ranges, *count, sizeof *ranges, by_start);
        *lines = 0;
        for (size_t i = 0; i < *count; i++) {
            ranges[i].first_line = *lines;
            *lines += (ranges[i].end - 1) / AMD_LINE_BYTES - ranges[i].start / AMD_LINE_BYTES + 1;
        }
    }
    pthread_mutex_unlock(&device->lock);
    return ranges;
}

/* ---- workers ---- */

static void record_fault(launch_job *job, uint64_t workgroup, const gpu_amd_fault *fault,
                         const gpu_amd_counters *counters) {
    pthread_mutex_lock(&job->lock);
    if (fault && workgroup < __atomic_load_n(&job->failed, __ATOMIC_RELAXED)) {
        __atomic_store_n(&job->failed, workgroup, __ATOMIC_RELAXED);
        job->fault = *fault;
    }
    if (counters) gpu_amd_add_counters(&job->counters, counters);
    pthread_mutex_unlock(&job->lock);
}

static void *work(void *opaque) {
    launch_job *job = opaque;
    const gpu_amd_launch *request = job->state.request;
    uint32_t threads = request->block[0] * request->block[1] * request->block[2];
    amd_worker worker;
    gpu_amd_counters counters = {0};
    gpu_amd_fault fault = {0};
    if (!amd_worker_make(&worker, &job->state, (threads + AMD_LANES - 1) / AMD_LANES)) {
        amd_worker_free(&worker);
        __atomic_store_n(&job->no_memory, true, __ATOMIC_RELAXED);
        return NULL;
    }
    worker.group.counters = &counters;
    worker.group.fault = &fault;
    for (;;) {
        uint64_t index = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
        if (index >= job->workgroups ||
            __atomic_load_n(&job->failed, __ATOMIC_RELAXED) != ~(uint64_t)0)
            break;
        /* The seed chooses where the row of workgroups begins. */
        uint64_t place = (index + job->seed % job->workgroups) % job->workgroups;
        uint32_t id[3] = {(uint32_t)(place % request->grid[0]),
                          (uint32_t)(place / request->grid[0] % request->grid[1]),
                          (uint32_t)(place / request->grid[0] / request->grid[1])};
        worker.group.random = job->seed ^ place * 0x9e3779b97f4a7c15u;
        if (setjmp(worker.group.escape)) {
            record_fault(job, place, &fault, NULL);
            break;
        }
        amd_run_workgroup(&worker, id);
    }
    record_fault(job, 0, NULL, &counters);
    amd_worker_free(&worker);
    return NULL;
}

static void run_workers(launch_job *job, uint32_t wanted) {
    enum { MOST = 64 };
    pthread_t threads[MOST];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t count = wanted ? wanted : cores > 0 ? (uint64_t)cores : 1;
    if (count > job->workgroups) count = job->workgroups;
    if (count > MOST) count = MOST;
    uint64_t started = 0;
    for (; started + 1 < count; started++)
        if (pthread_create(&threads[started], NULL, work, job)) break;
    work(job);
    for (uint64_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

/* ---- the call ---- */

static const char *launch_problem(const gpu_amd_kernel *kernel, const gpu_amd_launch *request) {
    const gpu_amd_kernel_info *info = &kernel->metadata.info;
    uint64_t threads = 1, workgroups = 1,
             lds = (uint64_t)kernel->descriptor.lds_bytes + request->dynamic_lds_bytes;
    for (int axis = 0; axis < 3; axis++) {
        if (!request->grid[axis] || !request->block[axis]) return "a grid or block size of 0";
        if (request->block[axis] > 1024) return "a block of more than 1024 threads";
        threads *= request->block[axis];
        workgroups *= request->grid[axis];
        if (workgroups > (uint64_t)1 << 32) return "more than 2^32 workgroups";
    }
    if (threads > 1024 || (info->max_block_threads && threads > info->max_block_threads))
        return "a block larger than the kernel was compiled for";
    if (lds > (kernel->module->device->target == AMD_GFX950 ? 163840 : 65536))
        return "more LDS than the target has";
    if (kernel->descriptor.scratch_bytes || (kernel->descriptor.resources[1] & 1) ||
        kernel->metadata.dynamic_stack)
        return "the kernel uses scratch memory, which is refused";
    if (kernel->entry < 0) return "no instruction at the entry";
    if (kernel->descriptor.resources[0] >> 12 & 15) return "a rounding mode other than to nearest";
    if ((kernel->descriptor.resources[0] >> 18 & 3) != 3)
        return "f16 and f64 denormals are flushed, which is not implemented";
    if (request->argument_bytes && !request->arguments) return "no arguments";
    if (request->argument_bytes > 65536) return "more than 64 KiB of arguments";
    return NULL;
}

bool gpu_amd_run(gpu_amd_kernel *kernel, const gpu_amd_launch *request, gpu_amd_fault *fault) {
    if (!kernel || !request) return refuse(fault, kernel, "no kernel or no launch");
    const char *problem = launch_problem(kernel, request);
    if (problem) return refuse(fault, kernel, problem);
    const gpu_amd_module *module = kernel->module;
    launch_job job = {.failed = ~(uint64_t)0, .seed = request->seed};
    size_t argument_bytes, range_count = 0, lines = 0;
    uint8_t *arguments = make_arguments(kernel, request, &argument_bytes);
    amd_range *ranges =
        arguments ? make_ranges(module, arguments, argument_bytes, &range_count, &lines) : NULL;
    size_t line_words = lines / 64 + 1;
    uint64_t *touched = ranges ? calloc(2 * line_words, sizeof *touched) : NULL;
    if (!touched) {
        free(arguments);
        free(ranges);
        return refuse(fault, kernel, "no memory");
    }
    bool preloads = kernel->descriptor.preload & 127;
    long behind_preload = amd_instruction_at(&module->program, kernel->descriptor.entry + 256);
    job.state = (amd_launch_state){
        .request = request,
        .kernel = kernel,
        .program = module->program.instructions,
        .program_count = module->program.count + 1,
        .target = module->device->target,
        .memory = {ranges, range_count, touched, touched + line_words},
        .arguments = arguments,
        .packet = arguments + argument_bytes - PACKET_BYTES,
        .code_base = (uint64_t)(uintptr_t)module->image,
        .entry = preloads && behind_preload >= 0 ? behind_preload : kernel->entry,
        .lds_bytes = kernel->descriptor.lds_bytes + request->dynamic_lds_bytes,
    };
    job.workgroups = (uint64_t)request->grid[0] * request->grid[1] * request->grid[2];
    pthread_mutex_init(&job.lock, NULL);
    run_workers(&job, request->threads);
    pthread_mutex_destroy(&job.lock);
    free(arguments);
    free(ranges);
    free(touched);
    job.counters.launches = 1;
    pthread_mutex_lock(&module->device->lock);
    gpu_amd_add_counters(&kernel->counters, &job.counters);
    pthread_mutex_unlock(&module->device->lock);
    if (request->counters) gpu_amd_add_counters(request->counters, &job.counters);
    if (job.failed != ~(uint64_t)0) {
        if (fault) *fault = job.fault;
        return false;
    }
    if (job.no_memory && job.next < job.workgroups) return refuse(fault, kernel, "no memory");
    if (fault) memset(fault, 0, sizeof *fault);
    return true;
}
