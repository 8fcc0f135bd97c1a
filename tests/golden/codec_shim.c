/* SPDX-License-Identifier: Apache-2.0 */
/* The codecs of backends/common as plain exported functions over arrays, for the Python checks. Not
 * part of the library. */

#include "gguf_encode.h"
#include "number.h"
#include "weight_view.h"

void shim_decode(int number, const void *codes, int64_t count, float *values);
void shim_encode(int number, const float *values, int64_t count, void *codes);
void shim_encode_f64(int number, const double *values, int64_t count, void *codes);
int shim_e8m0_from_amax(float amax, int number, int rule);
int shim_view(const DLTensor *tensor, const tenon_quant *quant, int64_t shape[3], char *why);
void shim_view_decode(const DLTensor *tensor, const tenon_quant *quant, int64_t expert,
                      float *values);
void shim_gguf_encode(int format, const float *values, int64_t count, uint8_t *blocks);

void shim_decode(int number, const void *codes, int64_t count, float *values) {
    for (int64_t i = 0; i < count; i++) {
        values[i] = number >= TENON_NUMBER_E2M3
                        ? tenon_number_decode((tenon_number)number, ((const uint8_t *)codes)[i])
                        : (float)tenon_number_load((tenon_number)number, codes, i);
    }
}

void shim_encode_f64(int number, const double *values, int64_t count, void *codes) {
    for (int64_t i = 0; i < count; i++) {
        tenon_number_store((tenon_number)number, codes, i, values[i]);
    }
}

void shim_encode(int number, const float *values, int64_t count, void *codes) {
    for (int64_t i = 0; i < count; i++) {
        tenon_number_store((tenon_number)number, codes, i, (double)values[i]);
    }
}

int shim_e8m0_from_amax(float amax, int number, int rule) {
    switch (number) {
    case TENON_NUMBER_E2M1:
        return tenon_e8m0_from_amax(amax, TENON_MX_E2M1, rule);
    case TENON_NUMBER_E2M3:
        return tenon_e8m0_from_amax(amax, TENON_MX_E2M3, rule);
    case TENON_NUMBER_E3M2:
        return tenon_e8m0_from_amax(amax, TENON_MX_E3M2, rule);
    case TENON_NUMBER_E4M3FN:
        return tenon_e8m0_from_amax(amax, TENON_MX_E4M3FN, rule);
    default:
        return tenon_e8m0_from_amax(amax, TENON_MX_E5M2, rule);
    }
}

/* Status of the view; its logical shape, or the sentence that says why not. */
int shim_view(const DLTensor *tensor, const tenon_quant *quant, int64_t shape[3], char *why) {
    tenon_weight_view view;
    tenon_reason reason = {{0}};
    int status = tenon_weight_view_from(tensor, quant, &view, &reason);
    if (status == TENON_OK) shape[0] = view.experts, shape[1] = view.n, shape[2] = view.k;
    memcpy(why, reason.text, sizeof reason.text);
    return status;
}

/* Rows are read in runs of uneven length, so that runs begin inside groups. */
void shim_view_decode(const DLTensor *tensor, const tenon_quant *quant, int64_t expert,
                      float *values) {
    tenon_weight_view all, view;
    tenon_reason reason;
    if (tenon_weight_view_from(tensor, quant, &all, &reason) != TENON_OK) return;
    view = tenon_weight_expert(&all, expert);
    for (int64_t row = 0; row < view.n; row++) {
        for (int64_t col = 0, run = 7; col < view.k; col += run, run = run % 90 + 13) {
            int64_t count = col + run < view.k ? run : view.k - col;
            tenon_weight_decode(&view, row, col, count, values + row * view.k + col);
        }
    }
}

void shim_gguf_encode(int format, const float *values, int64_t count, uint8_t *blocks) {
    tenon_gguf_encode(format, values, count, blocks);
}
