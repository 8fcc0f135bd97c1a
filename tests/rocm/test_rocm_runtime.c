/* SPDX-License-Identifier: Apache-2.0 */
/* The host side of the ROCm backend, on the fake HIP runtime: devices, what run calls, graphs, the
 * fault slot, and every call of the runtime failing once.
 *
 *   test_rocm_runtime            with two devices in TENON_FAKE_HIP_ARCH
 *   test_rocm_runtime unknown    with one of an architecture that has no device code
 *   test_rocm_runtime absent     without any libamdhip64 */
#include "test_kernels.h"

enum { STATES = 2, TOKENS = 3, HEADS = 2, DV = 16, ELEMENTS = TOKENS * HEADS * DV };

static struct {
    int (*malloc)(void **out, size_t bytes);
    int (*free)(void *memory);
    int (*host_malloc)(void **out, size_t bytes, unsigned flags);
    int (*host_free)(void *memory);
    int (*memcpy)(void *to, const void *from, size_t bytes, int kind);
    int (*get_device)(int *device);
    int (*set_device)(int device);
    int (*stream_create)(void **stream);
    int (*stream_destroy)(void *stream);
    int (*begin_capture)(void *stream, int mode);
    int (*end_capture)(void *stream, void **graph);
    int (*graph_launch)(void *graph, void *stream);
    int (*graph_destroy)(void *graph);
    void (*fail_at)(uint64_t n, bool all);
    uint64_t (*count)(const char *symbol);
    uint64_t (*live)(void);
} hip;

static void open_hip(void) {
    void *library = dlopen("libamdhip64.so.7", RTLD_NOW);
    static const char *const symbols[] = {"hipMalloc",           "hipFree",
                                          "hipHostMalloc",       "hipHostFree",
                                          "hipMemcpy",           "hipGetDevice",
                                          "hipSetDevice",        "hipStreamCreate",
                                          "hipStreamDestroy",    "hipStreamBeginCapture",
                                          "hipStreamEndCapture", "hipGraphLaunch",
                                          "hipGraphDestroy",     "fake_hip_fail_at",
                                          "fake_hip_count",      "fake_hip_live"};
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *address = library ? dlsym(library, symbols[i]) : NULL;
        memcpy((char *)&hip + i * sizeof address, &address, sizeof address);
        if (!address) {
            fprintf(stderr, "libamdhip64.so.7: no %s\n", symbols[i]);
            exit(2);
        }
    }
}

/* A merge of two states on one device. */
typedef struct merge {
    tenon_merge_states_args args;
    test_tensor in, in_lse, out;
    void *memory[3];
    float values[STATES][ELEMENTS], lse[STATES][TOKENS * HEADS];
} merge;

static void upload_merge(merge *m) {
    for (int s = 0; s < STATES; s++) {
        for (int i = 0; i < ELEMENTS; i++) m->values[s][i] = test_uniform();
        for (int i = 0; i < TOKENS * HEADS; i++) m->lse[s][i] = test_uniform();
    }
    CHECK(!hip.memcpy(m->memory[0], m->values, sizeof m->values, 1) &&
              !hip.memcpy(m->memory[1], m->lse, sizeof m->lse, 1),
          "upload");
}

static void make_merge(merge *m, int device) {
    memset(m, 0, sizeof *m);
    CHECK(!hip.set_device(device), "device %d", device);
    CHECK(!hip.malloc(&m->memory[0], sizeof m->values) &&
              !hip.malloc(&m->memory[1], sizeof m->lse) &&
              !hip.malloc(&m->memory[2], sizeof m->values[0]),
          "no device memory");
    CHECK(!hip.set_device(0), "device 0");
    m->args = (tenon_merge_states_args){
        .struct_size = sizeof m->args,
        .partial_out =
            test_view(&m->in, m->memory[0], kDLFloat, 32, SHAPE(STATES, TOKENS, HEADS, DV)),
        .partial_lse =
            test_view(&m->in_lse, m->memory[1], kDLFloat, 32, SHAPE(STATES, TOKENS, HEADS)),
        .out = test_view(&m->out, m->memory[2], kDLFloat, 32, SHAPE(TOKENS, HEADS, DV))};
    m->in.view.device = m->in_lse.view.device = m->out.view.device = (DLDevice){kDLROCM, device};
    upload_merge(m);
}

static void free_merge(merge *m) {
    for (int i = 0; i < 3; i++) CHECK(!hip.free(m->memory[i]), "free");
}

/* How many elements of out are not the merged ones. */
static int wrong_elements(const merge *m) {
    float out[ELEMENTS];
    int wrong = 0;
    CHECK(!hip.memcpy(out, m->memory[2], sizeof out, 2), "download");
    for (int i = 0; i < ELEMENTS; i++) {
        double a = exp((double)m->lse[0][i / DV]), b = exp((double)m->lse[1][i / DV]),
               expected = (a * m->values[0][i] + b * m->values[1][i]) / (a + b);
        wrong += !(fabs(out[i] - expected) <= 1e-6);
    }
    return wrong;
}

static tenon_device_info device_at(const tenon_api *api, tenon_context *context, uint32_t index) {
    tenon_device_info info = {.struct_size = sizeof info};
    uint32_t seen = 0;
    for (uint32_t i = 0; api->probe(context, i, &info, NULL) == TENON_OK; i++)
        if (info.backend == TENON_BACKEND_ROCM && seen++ == index) return info;
    return (tenon_device_info){.device_id = -1};
}

static void test_devices(const tenon_api *api) {
    const uint64_t live_before = hip.live();
    tenon_context *context = test_context(api);
    tenon_error error = {.struct_size = sizeof error};
    const tenon_device_info first = device_at(api, context, 0), second = device_at(api, context, 1);
    CHECK(first.available && strstr(first.feature_text, "gfx90a:sramecc+") &&
              first.n_units == 304 && first.memory_bytes == UINT64_C(1) << 34,
          "%s, %s, %d units", first.name, first.feature_text, first.n_units);
    CHECK(second.available && second.device_id == 1 && strstr(second.feature_text, "fp8_ocp"),
          "%d: %s", second.device_id, second.feature_text);
    for (int device = 0; device < 2; device++) {
        merge m;
        tenon_plan *plan = NULL;
        int current = -1;
        make_merge(&m, device);
        CHECK(tenon_merge_states_plan(api, context, &m.args, NULL, &plan, &error) == TENON_OK,
              "device %d: %s", device, error.text);
        const uint64_t before = hip.count(NULL), launches = hip.count("hipModuleLaunchKernel");
        CHECK(tenon_merge_states_run(api, plan, &m.args, &error) == TENON_OK, "%s", error.text);
        CHECK(hip.count("hipModuleLaunchKernel") == launches + 1, "one launch");
        /* Which device is current; on another one also there and back. */
        CHECK(hip.count(NULL) - before == (device ? 4 : 2), "device %d: run made %d calls", device,
              (int)(hip.count(NULL) - before));
        CHECK(!hip.get_device(&current) && current == 0, "current device %d", current);
        CHECK(wrong_elements(&m) == 0, "device %d: %d wrong", device, wrong_elements(&m));
        api->plan_destroy(plan);
        free_merge(&m);
    }
    merge m;
    tenon_plan *plan = NULL;
    make_merge(&m, 0);
    m.in.view.device.device_id = m.in_lse.view.device.device_id = m.out.view.device.device_id = 7;
    CHECK(tenon_merge_states_plan(api, context, &m.args, NULL, &plan, &error) ==
                  TENON_STATUS_UNSUPPORTED &&
              strstr(error.text, "device 7: there are 2"),
          "%s", error.text);
    free_merge(&m);
    api->context_destroy(context);
    CHECK(hip.live() == live_before, "%d allocations or modules are left",
          (int)(hip.live() - live_before));
}

/* A captured run does nothing until the graph is launched, and then each time. */
static void test_capture(const tenon_api *api) {
    tenon_context *context = test_context(api);
    tenon_error error = {.struct_size = sizeof error};
    tenon_plan *plan = NULL;
    void *stream, *graph = NULL;
    merge m;
    make_merge(&m, 0);
    CHECK(tenon_merge_states_plan(api, context, &m.args, NULL, &plan, &error) == TENON_OK, "%s",
          error.text);
    CHECK(!hip.stream_create(&stream), "stream");
    m.args.stream = stream;
    CHECK(!hip.begin_capture(stream, 0), "capture");
    CHECK(tenon_merge_states_run(api, plan, &m.args, &error) == TENON_OK, "%s", error.text);
    CHECK(!hip.end_capture(stream, &graph), "capture");
    CHECK(wrong_elements(&m) == ELEMENTS, "a captured run wrote its output");
    for (int replay = 0; replay < 2; replay++) {
        upload_merge(&m);
        CHECK(!hip.graph_launch(graph, stream), "replay");
        CHECK(wrong_elements(&m) == 0, "replay %d: %d wrong", replay, wrong_elements(&m));
    }
    CHECK(!hip.graph_destroy(graph) && !hip.stream_destroy(stream), "graph");
    api->plan_destroy(plan);
    free_merge(&m);
    api->context_destroy(context);
}

/* A slot that does not exist ends in the fault slot; the first event stays. */
static void test_fault_slot(const tenon_api *api) {
    enum { PAGES = 2, PAGE = 4, D = 8 };
    tenon_context *context = test_context(api);
    tenon_error error = {.struct_size = sizeof error};
    const int64_t slots[2] = {PAGES * PAGE, 1};
    float cache[PAGES * PAGE * D];
    test_tensor tx, tk, tv, ts;
    void *x, *k, *v, *s, *slot_memory;
    CHECK(!hip.malloc(&x, 2 * D * sizeof(float)) && !hip.malloc(&k, sizeof cache) &&
              !hip.malloc(&v, sizeof cache) && !hip.malloc(&s, sizeof slots) &&
              !hip.host_malloc(&slot_memory, sizeof(tenon_fault), 0),
          "no memory");
    tenon_fault *fault = slot_memory;
    memset(fault, 0, sizeof *fault);
    memset(cache, 0x7f, sizeof cache);
    const float ones[2 * D] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    CHECK(!hip.memcpy(x, ones, sizeof ones, 1) && !hip.memcpy(k, cache, sizeof cache, 1) &&
              !hip.memcpy(v, cache, sizeof cache, 1) && !hip.memcpy(s, slots, sizeof slots, 1),
          "upload");
    tenon_kv_append_args a = {.struct_size = sizeof a,
                              .fault = fault,
                              .key = test_view(&tx, x, kDLFloat, 32, SHAPE(2, 1, D)),
                              .value = &tx.view,
                              .k = test_view(&tk, k, kDLFloat, 32, SHAPE(PAGES, PAGE, 1, D)),
                              .v = test_view(&tv, v, kDLFloat, 32, SHAPE(PAGES, PAGE, 1, D)),
                              .slot_mapping = test_view(&ts, s, kDLInt, 64, SHAPE(2))};
    tx.view.device = tk.view.device = tv.view.device = ts.view.device = (DLDevice){kDLROCM, 0};
    CHECK(tenon_kv_append_call(api, context, &a, &error) == TENON_OK, "%s", error.text);
    CHECK(tenon_fault_poll(fault) == TENON_FAULT_PAGE_OUT_OF_RANGE &&
              fault->op == TENON_OP_KV_APPEND && fault->position == 0 &&
              fault->value == PAGES * PAGE && fault->limit == PAGES * PAGE,
          "fault %d of %d at %d: %d, limit %d", fault->code, fault->op, (int)fault->position,
          (int)fault->value, (int)fault->limit);
    CHECK(!hip.memcpy(cache, k, sizeof cache, 2), "download");
    for (int i = 0; i < PAGES * PAGE * D; i++)
        CHECK((cache[i] == 1) == (i / D == 1), "slot %d: %g", i / D, (double)cache[i]);
    fault->value = 42;
    CHECK(tenon_kv_append_call(api, context, &a, &error) == TENON_OK && fault->value == 42,
          "a later event replaced the first one");
    CHECK(!hip.free(x) && !hip.free(k) && !hip.free(v) && !hip.free(s) &&
              !hip.host_free(slot_memory),
          "free");
    api->context_destroy(context);
}

/* Each call of the runtime fails once: a clear status, outputs as they were, nothing left behind.
 */
static void test_failing_calls(const tenon_api *api) {
    int failures = 0;
    for (uint64_t n = 1; n < 200; n++) {
        merge m;
        tenon_plan *plan = NULL;
        tenon_error error = {.struct_size = sizeof error};
        unsigned char before[sizeof m.values[0]], after[sizeof before];
        make_merge(&m, 1);
        CHECK(!hip.memcpy(before, m.memory[2], sizeof before, 2), "download");
        tenon_context *context = test_context(api);
        const uint64_t launches = hip.count("hipModuleLaunchKernel");
        hip.fail_at(n, false);
        int32_t status = tenon_merge_states_plan(api, context, &m.args, NULL, &plan, &error);
        if (!status) status = tenon_merge_states_run(api, plan, &m.args, &error);
        hip.fail_at(0, false);
        CHECK(!hip.memcpy(after, m.memory[2], sizeof after, 2), "download");
        if (status) {
            failures++;
            CHECK(status == TENON_STATUS_NOT_AVAILABLE || status == TENON_STATUS_DEVICE_ERROR,
                  "call %d: status %d", (int)n, status);
            CHECK(strstr(error.text, "hipErrorUnknown (999)"), "call %d: \"%s\"", (int)n,
                  error.text);
            /* The last call of a run gives the device back: the kernel has been launched then. */
            CHECK(hip.count("hipModuleLaunchKernel") > launches ||
                      !memcmp(before, after, sizeof before),
                  "call %d failed, but the output was written", (int)n);
        } else {
            CHECK(wrong_elements(&m) == 0, "%d wrong", wrong_elements(&m));
        }
        hip.set_device(0);
        api->plan_destroy(plan);
        api->context_destroy(context);
        free_merge(&m);
        CHECK(hip.live() == 0, "call %d: %d allocations or modules are left", (int)n,
              (int)hip.live());
        if (!status) break;
    }
    CHECK(failures >= 10, "only %d calls failed", failures);

    /* Nobody can be told of failures at the end; they only must not break anything. (The fake keeps
     * the module that it did not unload.) */
    merge m;
    tenon_plan *plan = NULL;
    tenon_context *context = test_context(api);
    make_merge(&m, 1);
    CHECK(tenon_merge_states_plan(api, context, &m.args, NULL, &plan, NULL) == TENON_OK, "plan");
    hip.fail_at(1, true);
    api->plan_destroy(plan);
    api->context_destroy(context);
    hip.fail_at(0, false);
    free_merge(&m);
}

static void test_unavailable(const tenon_api *api, const char *reason) {
    tenon_context_options options = {
        .struct_size = sizeof options, .log_level = -1, .backend = TENON_BACKEND_ROCM};
    tenon_context *context = NULL;
    tenon_plan *plan = NULL;
    tenon_error error = {.struct_size = sizeof error};
    float none[3] = {0};
    test_tensor t, l, o;
    CHECK(api->context_create(&options, &context, &error) == TENON_OK, "%s", error.text);
    const tenon_device_info info = device_at(api, context, 0);
    CHECK(!info.available && strstr(info.reason, reason), "%s", info.reason);
    tenon_merge_states_args a = {
        .struct_size = sizeof a,
        .partial_out = test_view(&t, none, kDLFloat, 32, SHAPE(1, 1, 1, 1)),
        .partial_lse = test_view(&l, none + 1, kDLFloat, 32, SHAPE(1, 1, 1)),
        .out = test_view(&o, none + 2, kDLFloat, 32, SHAPE(1, 1, 1))};
    t.view.device = l.view.device = o.view.device = (DLDevice){kDLROCM, 0};
    CHECK(tenon_merge_states_plan(api, context, &a, NULL, &plan, &error) ==
                  TENON_STATUS_NOT_AVAILABLE &&
              strstr(error.text, reason),
          "%s", error.text);
    api->context_destroy(context);
}

int main(int argc, char **argv) {
    const tenon_api *api = test_load();
    if (argc > 1) {
        test_unavailable(api, !strcmp(argv[1], "unknown")
                                  ? "there is device code for gfx90a"
                                  : "neither libamdhip64.so.7 nor libamdhip64.so.6 can be opened");
        return test_report();
    }
    open_hip();
    /* First: the library has not met the runtime yet, so that its first calls fail, too. */
    test_failing_calls(api);
    test_devices(api);
    test_capture(api);
    test_fault_slot(api);
    return test_report();
}
