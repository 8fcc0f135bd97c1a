/* SPDX-License-Identifier: Apache-2.0 */
/* The host side of the CUDA backend, on the fake driver.
 *
 *   test_cuda_runtime            two devices: a captured run, and the context that the host has
 *   test_cuda_runtime unknown    one device that has no device code
 *   test_cuda_runtime absent     without any libcuda */
#include "test_kernels.h"

enum { D = 8 };

static struct {
    int (*init)(unsigned flags);
    int (*retain)(void **context, int device);
    int (*set_current)(void *context);
    int (*get_current)(void **context);
    int (*malloc)(uint64_t *out, size_t bytes);
    int (*free)(uint64_t memory);
    int (*upload)(uint64_t to, const void *from, size_t bytes);
    int (*download)(void *to, uint64_t from, size_t bytes);
    int (*stream_create)(void **out, unsigned flags);
    int (*stream_destroy)(void *stream);
    int (*begin_capture)(void *stream, int mode);
    int (*end_capture)(void *stream, void **graph);
    int (*graph_launch)(void *graph, void *stream);
    int (*graph_destroy)(void *graph);
    uint64_t (*live)(void);
} cuda;

static void open_cuda(void) {
    static const char *const symbols[] = {"cuInit",
                                          "cuDevicePrimaryCtxRetain",
                                          "cuCtxSetCurrent",
                                          "cuCtxGetCurrent",
                                          "cuMemAlloc_v2",
                                          "cuMemFree_v2",
                                          "cuMemcpyHtoD_v2",
                                          "cuMemcpyDtoH_v2",
                                          "cuStreamCreate",
                                          "cuStreamDestroy_v2",
                                          "cuStreamBeginCapture_v2",
                                          "cuStreamEndCapture",
                                          "cuGraphLaunch",
                                          "cuGraphDestroy",
                                          "fake_cuda_live"};
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *address = library ? dlsym(library, symbols[i]) : NULL;
        memcpy((char *)&cuda + i * sizeof address, &address, sizeof address);
        if (!address) {
            fprintf(stderr, "libcuda.so.1: no %s\n", symbols[i]);
            exit(2);
        }
    }
}

static void *pointer(uint64_t address) {
    return (void *)(uintptr_t)address;
}

/* One state: out is what went in. device 0 is current, the tensors are on `device`. */
static void test_device(const tenon_api *api, void *const *contexts, int device) {
    const uint64_t live = cuda.live();
    tenon_context *context = test_context(api);
    tenon_error error = {.struct_size = sizeof error};
    tenon_plan *plan = NULL;
    uint64_t in = 0, lse = 0, out = 0;
    void *stream = NULL, *graph = NULL, *current = NULL;
    test_tensor ti, tl, to;
    const float zero = 0, none[D] = {0};
    float values[D], got[D];
    CHECK(!cuda.set_current(contexts[device]) && !cuda.malloc(&in, sizeof values) &&
              !cuda.malloc(&lse, sizeof zero) && !cuda.malloc(&out, sizeof values) &&
              !cuda.stream_create(&stream, 0) && !cuda.upload(lse, &zero, sizeof zero) &&
              !cuda.upload(out, none, sizeof none) && !cuda.set_current(contexts[0]),
          "device memory");
    tenon_merge_states_args a = {
        .struct_size = sizeof a,
        .stream = stream,
        .partial_out = test_view(&ti, pointer(in), kDLFloat, 32, SHAPE(1, 1, 1, D)),
        .partial_lse = test_view(&tl, pointer(lse), kDLFloat, 32, SHAPE(1, 1, 1)),
        .out = test_view(&to, pointer(out), kDLFloat, 32, SHAPE(1, 1, D))};
    ti.view.device = tl.view.device = to.view.device = (DLDevice){kDLCUDA, device};
    CHECK(tenon_merge_states_plan(api, context, &a, NULL, &plan, &error) == TENON_OK, "%s",
          error.text);
    CHECK(!cuda.begin_capture(stream, 0), "capture");
    CHECK(tenon_merge_states_run(api, plan, &a, &error) == TENON_OK, "%s", error.text);
    CHECK(!cuda.end_capture(stream, &graph), "capture");
    CHECK(!cuda.get_current(&current) && current == contexts[0], "another context is current");
    CHECK(!cuda.download(got, out, sizeof got) && !memcmp(got, none, sizeof got),
          "a captured run wrote its output");
    for (int replay = 0; replay < 2; replay++) {
        for (int i = 0; i < D; i++) values[i] = test_uniform();
        CHECK(!cuda.upload(in, values, sizeof values) && !cuda.graph_launch(graph, stream) &&
                  !cuda.download(got, out, sizeof got) && !memcmp(got, values, sizeof got),
              "replay %d", replay);
    }
    CHECK(!cuda.graph_destroy(graph) && !cuda.stream_destroy(stream) && !cuda.free(in) &&
              !cuda.free(lse) && !cuda.free(out),
          "free");
    api->plan_destroy(plan);
    api->context_destroy(context);
    CHECK(cuda.live() == live, "%d allocations, modules or contexts are left",
          (int)(cuda.live() - live));
}

static void test_unavailable(const tenon_api *api, const char *reason) {
    tenon_context_options options = {
        .struct_size = sizeof options, .log_level = -1, .backend = TENON_BACKEND_CUDA};
    tenon_context *context = NULL;
    tenon_error error = {.struct_size = sizeof error};
    tenon_device_info info = {.struct_size = sizeof info};
    bool told = false;
    CHECK(api->context_create(&options, &context, &error) == TENON_OK, "%s", error.text);
    for (uint32_t i = 0; api->probe(context, i, &info, NULL) == TENON_OK; i++)
        told |=
            info.backend == TENON_BACKEND_CUDA && !info.available && strstr(info.reason, reason);
    CHECK(told, "probe does not say \"%s\"", reason);
    api->context_destroy(context);
}

int main(int argc, char **argv) {
    const tenon_api *api = test_load();
    if (argc > 1 && !strcmp(argv[1], "absent") && dlopen("libcuda.so.1", RTLD_NOW)) {
        printf("skipped: this machine has a driver\n");
        return 77;
    }
    if (argc > 1) {
        test_unavailable(api, !strcmp(argv[1], "unknown")
                                  ? "device 0 is sm_75; there is device code"
                                  : "libcuda.so.1 cannot be opened");
        return test_report();
    }
    void *contexts[2] = {NULL, NULL};
    open_cuda();
    CHECK(!cuda.init(0) && !cuda.retain(&contexts[0], 0) && !cuda.retain(&contexts[1], 1), "init");
    for (int device = 0; device < 2; device++) test_device(api, contexts, device);
    return test_report();
}
