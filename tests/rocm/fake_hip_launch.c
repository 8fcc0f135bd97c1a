/* SPDX-License-Identifier: Apache-2.0 */
/* Launches, streams, events, and graphs of launches. */
#include "fake_hip_launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_hip.h"

typedef struct recorded {
    fake_function *function;
    gpu_amd_launch launch;
    struct recorded *next;
    char arguments[4096];
} recorded;

struct fake_graph {
    recorded *first, **end;
};

struct fake_stream {
    int device;
    fake_graph *capture; /* NULL: not capturing */
};

static void execute(fake_function *function, const gpu_amd_launch *launch) {
    gpu_amd_fault fault = {.kind = GPU_AMD_NO_FAULT};
    if (fake_sticky) return;
    fake_map_memory(true);
    if (!gpu_amd_run(function->kernel, launch, &fault)) {
        fprintf(stderr, "fake_hip: %s: %s\n", gpu_amd_info(function->kernel)->name, fault.text);
        fake_sticky = HIP_LAUNCH_FAILURE;
    }
    fake_map_memory(false);
}

static int enqueue(fake_function *function, const gpu_amd_launch *launch, fake_stream *stream) {
    if (function->device != (stream ? stream->device : fake_current)) return HIP_INVALID_HANDLE;
    if (!stream || !stream->capture) {
        execute(function, launch);
        return HIP_SUCCESS; /* what a kernel does wrong is known later */
    }
    recorded *r = calloc(1, sizeof *r);
    if (!r || launch->argument_bytes > sizeof r->arguments) {
        free(r);
        return HIP_OUT_OF_MEMORY;
    }
    r->function = function;
    r->launch = *launch;
    if (launch->argument_bytes) memcpy(r->arguments, launch->arguments, launch->argument_bytes);
    *stream->capture->end = r;
    stream->capture->end = &r->next;
    return HIP_SUCCESS;
}

int hipModuleLaunchKernel(fake_function *function, unsigned grid_x, unsigned grid_y,
                          unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                          unsigned shared_bytes, fake_stream *stream, void **arguments,
                          void **extra) {
    int status = fake_enter(FAKE_hipModuleLaunchKernel);
    if (status) return status;
    if (!function || extra || !grid_x || !grid_y || !grid_z || !block_x || !block_y || !block_z ||
        (uint64_t)grid_x * block_x > UINT32_MAX)
        return fake_leave(HIP_INVALID_VALUE);
    const gpu_amd_kernel_info *info = gpu_amd_info(function->kernel);
    const char *seed = getenv("TENON_FAKE_HIP_SEED");
    /* One argument, a struct: the launcher's convention. */
    gpu_amd_launch launch = {.grid = {grid_x, grid_y, grid_z},
                             .block = {block_x, block_y, block_z},
                             .dynamic_lds_bytes = shared_bytes,
                             .arguments = info->explicit_bytes ? arguments[0] : NULL,
                             .argument_bytes = info->explicit_bytes,
                             .seed = seed ? strtoull(seed, NULL, 0) : 1};
    function->latest_threads = block_x * block_y * block_z;
    function->latest_dynamic_lds_bytes = shared_bytes;
    return fake_leave(enqueue(function, &launch, stream));
}

int hipDeviceSynchronize(void) {
    int status = fake_enter(FAKE_hipDeviceSynchronize);
    return status ? status : fake_leave(fake_sticky);
}

int hipStreamCreate(fake_stream **out) {
    int status = fake_enter(FAKE_hipStreamCreate);
    if (status) return status;
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->device = fake_current;
    return fake_leave(*out ? HIP_SUCCESS : HIP_OUT_OF_MEMORY);
}

int hipStreamDestroy(fake_stream *stream) {
    int status = fake_enter(FAKE_hipStreamDestroy);
    if (status) return status;
    free(stream);
    return fake_leave(HIP_SUCCESS);
}

int hipStreamSynchronize(fake_stream *stream) {
    (void)stream;
    int status = fake_enter(FAKE_hipStreamSynchronize);
    return status ? status : fake_leave(fake_sticky);
}

int hipStreamBeginCapture(fake_stream *stream, int mode) {
    (void)mode;
    int status = fake_enter(FAKE_hipStreamBeginCapture);
    if (status) return status;
    if (!stream || stream->capture) return fake_leave(HIP_INVALID_VALUE);
    stream->capture = calloc(1, sizeof *stream->capture);
    if (!stream->capture) return fake_leave(HIP_OUT_OF_MEMORY);
    stream->capture->end = &stream->capture->first;
    fake_capturing = true;
    return fake_leave(HIP_SUCCESS);
}

int hipStreamEndCapture(fake_stream *stream, fake_graph **out) {
    int status = fake_enter(FAKE_hipStreamEndCapture);
    if (status) return status;
    if (!stream || !stream->capture) return fake_leave(HIP_INVALID_VALUE);
    *out = stream->capture;
    stream->capture = NULL;
    fake_capturing = false;
    return fake_leave(HIP_SUCCESS);
}

int hipGraphLaunch(fake_graph *graph, fake_stream *stream) {
    (void)stream;
    int status = fake_enter(FAKE_hipGraphLaunch);
    if (status) return status;
    for (recorded *r = graph->first; r; r = r->next) {
        r->launch.arguments = r->arguments;
        execute(r->function, &r->launch);
    }
    return fake_leave(HIP_SUCCESS);
}

int hipGraphDestroy(fake_graph *graph) {
    int status = fake_enter(FAKE_hipGraphDestroy);
    if (status) return status;
    while (graph->first) {
        recorded *r = graph->first;
        graph->first = r->next;
        free(r);
    }
    free(graph);
    return fake_leave(HIP_SUCCESS);
}

/* Work is done when it is enqueued: an event has always happened. */
int hipEventCreate(void **out) {
    int status = fake_enter(FAKE_hipEventCreate);
    if (status) return status;
    *out = malloc(1);
    return fake_leave(*out ? HIP_SUCCESS : HIP_OUT_OF_MEMORY);
}

int hipEventRecord(void *event, fake_stream *stream) {
    (void)event, (void)stream;
    int status = fake_enter(FAKE_hipEventRecord);
    return status ? status : fake_leave(HIP_SUCCESS);
}

int hipEventSynchronize(void *event) {
    (void)event;
    int status = fake_enter(FAKE_hipEventSynchronize);
    return status ? status : fake_leave(fake_sticky);
}

int hipEventDestroy(void *event) {
    int status = fake_enter(FAKE_hipEventDestroy);
    if (status) return status;
    free(event);
    return fake_leave(HIP_SUCCESS);
}
