/* SPDX-License-Identifier: Apache-2.0 */
/* Modules, launches, streams, and graphs of launches. A module is known by its bytes being a fat
 * binary; its kernels are found by their names in the emulator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_cuda.h"

struct fake_module {
    fake_device *device;
    fake_function *functions;
};
struct fake_function {
    const simt_kernel *kernel;
    fake_module *module;
    fake_function *next;
};
typedef struct recorded {
    const simt_kernel *kernel;
    simt_grid grid;
    struct recorded *next;
    char arguments[4096];
} recorded;
struct fake_graph {
    recorded *first, **end;
    int users; /* the graph and its executable form are one */
};
struct fake_stream {
    fake_device *device;
    fake_graph *capture; /* NULL: not capturing */
};

static void execute(const simt_kernel *kernel, simt_grid grid, const void *arguments) {
    if (fake_sticky) return;
    const char *seed = getenv("TENON_FAKE_CUDA_SEED");
    const simt_options options = {.seed = seed ? strtoull(seed, NULL, 0) : 1};
    fake_map_memory(true);
    const char *fault =
        simt_launch(kernel, grid, arguments, simt_kernel_argument_bytes(kernel), &options);
    if (fault) {
        fprintf(stderr, "fake_cuda: %s\n", fault);
        fake_sticky = CUDA_LAUNCH_FAILED;
    }
    fake_map_memory(false);
}

static int enqueue(const fake_function *f, simt_grid grid, const void *arguments,
                   fake_stream *stream) {
    const uint32_t bytes = simt_kernel_argument_bytes(f->kernel);
    if (!fake_current()) return CUDA_INVALID_CONTEXT;
    if (f->module->device != (stream ? stream->device : fake_current())) return CUDA_INVALID_HANDLE;
    if (!stream || !stream->capture) {
        execute(f->kernel, grid, arguments);
        return CUDA_SUCCESS; /* what a kernel does wrong is known later */
    }
    recorded *r = calloc(1, sizeof *r);
    if (!r || bytes > sizeof r->arguments) {
        free(r);
        return CUDA_OUT_OF_MEMORY;
    }
    r->kernel = f->kernel;
    r->grid = grid;
    memcpy(r->arguments, arguments, bytes);
    *stream->capture->end = r;
    stream->capture->end = &r->next;
    return CUDA_SUCCESS;
}

int cuLaunchKernel(fake_function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   fake_stream *stream, void **arguments, void **extra) {
    const int status = fake_enter(FAKE_cuLaunchKernel);
    if (status) return status;
    /* Largest grid: CUDA C programming guide, technical specifications. */
    if (!function || extra || !grid_x || !grid_y || !grid_z || grid_x > INT32_MAX ||
        grid_y > 65535 || grid_z > 65535 || !block_x || block_y != 1 || block_z != 1)
        return fake_leave(CUDA_INVALID_VALUE);
    const simt_grid grid = {
        .blocks = {grid_x, grid_y, grid_z}, .lanes = block_x, .shared_bytes = shared_bytes};
    return fake_leave(enqueue(function, grid, arguments[0], stream));
}

int cuModuleLoadData(fake_module **out, const void *image) {
    static const unsigned char fat_binary[4] = {0x50, 0xed, 0x55, 0xba};
    const int status = fake_enter(FAKE_cuModuleLoadData);
    if (status) return status;
    if (!fake_current()) return fake_leave(CUDA_INVALID_CONTEXT);
    if (!image || memcmp(image, fat_binary, sizeof fat_binary))
        return fake_leave(CUDA_INVALID_IMAGE);
    if (fake_current()->major < 8) return fake_leave(CUDA_NO_BINARY_FOR_GPU);
    fake_module *module = calloc(1, sizeof *module);
    if (!module) return fake_leave(CUDA_OUT_OF_MEMORY);
    module->device = fake_current();
    fake_live++;
    *out = module;
    return fake_leave(CUDA_SUCCESS);
}

int cuModuleUnload(fake_module *module) {
    const int status = fake_enter(FAKE_cuModuleUnload);
    if (status) return status;
    if (module->device != fake_current()) return fake_leave(CUDA_INVALID_CONTEXT);
    while (module->functions) {
        fake_function *f = module->functions;
        module->functions = f->next;
        free(f);
    }
    free(module);
    fake_live--;
    return fake_leave(CUDA_SUCCESS);
}

int cuModuleGetFunction(fake_function **out, fake_module *module, const char *name) {
    const int status = fake_enter(FAKE_cuModuleGetFunction);
    if (status) return status;
    const simt_kernel *kernel = simt_find(name);
    fake_function *f = kernel ? calloc(1, sizeof *f) : NULL;
    if (!f) return fake_leave(kernel ? CUDA_OUT_OF_MEMORY : CUDA_NOT_FOUND);
    *f = (fake_function){kernel, module, module->functions};
    module->functions = f;
    *out = f;
    return fake_leave(CUDA_SUCCESS);
}

int cuFuncSetAttribute(fake_function *function, int attribute, int value) {
    const int status = fake_enter(FAKE_cuFuncSetAttribute);
    if (status) return status;
    return fake_leave(function && attribute == 8 && value >= 0 ? CUDA_SUCCESS : CUDA_INVALID_VALUE);
}

int cuStreamCreate(fake_stream **out, unsigned flags) {
    (void)flags;
    const int status = fake_enter(FAKE_cuStreamCreate);
    if (status) return status;
    if (!fake_current()) return fake_leave(CUDA_INVALID_CONTEXT);
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->device = fake_current();
    return fake_leave(*out ? CUDA_SUCCESS : CUDA_OUT_OF_MEMORY);
}

int cuStreamDestroy_v2(fake_stream *stream) {
    const int status = fake_enter(FAKE_cuStreamDestroy_v2);
    if (status) return status;
    free(stream);
    return fake_leave(CUDA_SUCCESS);
}

int cuStreamBeginCapture_v2(fake_stream *stream, int mode) {
    (void)mode;
    const int status = fake_enter(FAKE_cuStreamBeginCapture_v2);
    if (status) return status;
    if (!stream || stream->capture) return fake_leave(CUDA_INVALID_VALUE);
    stream->capture = calloc(1, sizeof *stream->capture);
    if (!stream->capture) return fake_leave(CUDA_OUT_OF_MEMORY);
    stream->capture->end = &stream->capture->first;
    stream->capture->users = 1;
    fake_capturing = true;
    return fake_leave(CUDA_SUCCESS);
}

int cuStreamEndCapture(fake_stream *stream, fake_graph **out) {
    const int status = fake_enter(FAKE_cuStreamEndCapture);
    if (status) return status;
    if (!stream || !stream->capture) return fake_leave(CUDA_INVALID_VALUE);
    *out = stream->capture;
    stream->capture = NULL;
    fake_capturing = false;
    return fake_leave(CUDA_SUCCESS);
}

int cuGraphInstantiateWithFlags(fake_graph **out, fake_graph *graph, uint64_t flags) {
    (void)flags;
    const int status = fake_enter(FAKE_cuGraphInstantiateWithFlags);
    if (status) return status;
    graph->users++;
    *out = graph;
    return fake_leave(CUDA_SUCCESS);
}

int cuGraphLaunch(fake_graph *graph, fake_stream *stream) {
    (void)stream;
    const int status = fake_enter(FAKE_cuGraphLaunch);
    if (status) return status;
    for (recorded *r = graph->first; r; r = r->next) execute(r->kernel, r->grid, r->arguments);
    return fake_leave(CUDA_SUCCESS);
}

static void drop(fake_graph *graph) {
    if (--graph->users) return;
    while (graph->first) {
        recorded *r = graph->first;
        graph->first = r->next;
        free(r);
    }
    free(graph);
}

int cuGraphExecDestroy(fake_graph *graph) {
    const int status = fake_enter(FAKE_cuGraphExecDestroy);
    if (!status) drop(graph);
    return status ? status : fake_leave(CUDA_SUCCESS);
}
int cuGraphDestroy(fake_graph *graph) {
    const int status = fake_enter(FAKE_cuGraphDestroy);
    if (!status) drop(graph);
    return status ? status : fake_leave(CUDA_SUCCESS);
}
