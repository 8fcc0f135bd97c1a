/* SPDX-License-Identifier: Apache-2.0 */
/* merge_states against the formula in double, empty states, both bases, and a plan that serves
 * fewer tokens. */
#include "test_host.h"

enum { STATES = 3, TOKENS = 5, HEADS = 2, DV = 7 };

int main(void) {
    const tenon_api *api = test_load();
    tenon_context *context = NULL;
    tenon_plan *plan = NULL;
    tenon_error error = {.struct_size = sizeof error};
    float o[STATES][TOKENS][HEADS][DV], l[STATES][TOKENS][HEADS], out[TOKENS + 1][HEADS][DV],
        lse[TOKENS][HEADS];
    test_tensor to, tl, tout, tlse;
    CHECK(api->context_create(NULL, &context, &error) == TENON_OK, "%s", error.text);
    for (int s = 0; s < STATES; s++)
        for (int t = 0; t < TOKENS; t++)
            for (int h = 0; h < HEADS; h++) {
                l[s][t][h] = t == 1 ? -INFINITY : t == 2 && s == 0 ? INFINITY : 8 * test_uniform();
                for (int d = 0; d < DV; d++) o[s][t][h][d] = test_uniform();
            }
    memset(out, 0x7f, sizeof out);
    tenon_merge_states_args a = {
        .struct_size = sizeof a,
        .partial_out = test_view(&to, o, kDLFloat, 32, SHAPE(STATES, TOKENS, HEADS, DV)),
        .partial_lse = test_view(&tl, l, kDLFloat, 32, SHAPE(STATES, TOKENS, HEADS)),
        .out = test_view(&tout, out, kDLFloat, 32, SHAPE(TOKENS, HEADS, DV)),
        .lse = test_view(&tlse, lse, kDLFloat, 32, SHAPE(TOKENS, HEADS))};
    CHECK(tenon_merge_states_plan(api, context, &a, NULL, &plan, &error) == TENON_OK, "%s",
          error.text);
    /* A run with fewer tokens: the first state's rows are further apart than they are many. */
    to.shape[1] = tl.shape[1] = tout.shape[0] = tlse.shape[0] = TOKENS - 1;
    CHECK(tenon_merge_states_run(api, plan, &a, &error) == TENON_OK, "%s", error.text);
    for (int t = 0; t < TOKENS - 1; t++)
        for (int h = 0; h < HEADS; h++) {
            double sum = 0, acc[DV] = {0};
            for (int s = 0; s < STATES; s++) {
                double w = isinf(l[s][t][h]) ? 0 : exp((double)l[s][t][h]);
                sum += w;
                for (int d = 0; d < DV; d++) acc[d] += w * o[s][t][h][d];
            }
            for (int d = 0; d < DV; d++) {
                double expected = sum == 0 ? 0 : acc[d] / sum;
                CHECK(fabs(out[t][h][d] - expected) <= 1e-6,
                      "token %d head %d dim %d: %g, expected %g", t, h, d, (double)out[t][h][d],
                      expected);
            }
            CHECK(sum == 0 ? lse[t][h] == -INFINITY : fabs(lse[t][h] - log(sum)) <= 1e-6,
                  "token %d head %d: lse %g, expected %g", t, h, (double)lse[t][h], log(sum));
        }
    unsigned char poison[sizeof out[0]];
    memset(poison, 0x7f, sizeof poison);
    CHECK(!memcmp(out[TOKENS - 1], poison, sizeof poison) &&
              !memcmp(out[TOKENS], poison, sizeof poison),
          "written past the run's tokens");

    tout.shape[0] = TOKENS;
    CHECK(tenon_merge_states_run(api, plan, &a, &error) == TENON_STATUS_INVALID_ARGUMENT &&
              strstr(error.text, "tokens=4"),
          "%s", error.text);
    tout.shape[0] = TOKENS - 1, tout.view.data = o;
    CHECK(tenon_merge_states_run(api, plan, &a, &error) == TENON_STATUS_INVALID_ARGUMENT &&
              strstr(error.text, "overlaps"),
          "%s", error.text);
    api->plan_destroy(plan);
    api->context_destroy(context);
    return test_report();
}
