/* SPDX-License-Identifier: Apache-2.0 */
/* A library that was built without libffi says so where a host wants to call by signature, and does
 * everything else. */
#include "test_host.h"

static void nothing(void) {
}

int main(void) {
    const tenon_api *api = test_load();
    const tenon_context_options options = {.struct_size = sizeof options, .log_level = -1};
    tenon_context *context = NULL;
    tenon_plan *plan = NULL;
    tenon_closure *closure = NULL;
    void (*function)(void) = NULL;
    tenon_error error = {.struct_size = sizeof error};
    CHECK(!api->context_create(&options, &context, &error), "%s", error.text);

    const tenon_foreign_kernel kernel = {.struct_size = sizeof kernel,
                                         .op = TENON_OP_MERGE_STATES,
                                         .name = "hosts_own",
                                         .signature = "i32(ptr:args)",
                                         .function = nothing};
    int32_t status = api->register_kernel(context, &kernel, &error);
    CHECK(status == TENON_STATUS_UNSUPPORTED && strstr(error.text, "without libffi"), "%d: %s",
          status, error.text);

    float in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, lse[2] = {0, 0}, out[4] = {0};
    test_tensor t_in, t_lse, t_out;
    const tenon_merge_states_args args = {
        .struct_size = sizeof args,
        .partial_out = test_view(&t_in, in, kDLFloat, 32, SHAPE(2, 1, 1, 4)),
        .partial_lse = test_view(&t_lse, lse, kDLFloat, 32, SHAPE(2, 1, 1)),
        .out = test_view(&t_out, out, kDLFloat, 32, SHAPE(1, 1, 4))};
    CHECK(!tenon_merge_states_plan(api, context, &args, NULL, &plan, &error), "%s", error.text);
    status = api->closure_create(plan, &args, "i32(ptr:out.data)", &closure, &function, &error);
    CHECK(status == TENON_STATUS_UNSUPPORTED && strstr(error.text, "without libffi") && !closure,
          "%d: %s", status, error.text);
    CHECK(!tenon_merge_states_run(api, plan, &args, &error) && out[0] == 3 && out[3] == 6, "%s",
          error.text);
    api->plan_destroy(plan);
    api->context_destroy(context);
    return test_report();
}
