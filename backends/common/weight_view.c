/* SPDX-License-Identifier: Apache-2.0 */
/* The check of a quantized tensor against FORMATS.md, once, so that everything behind it may index
 * without asking again. */

#include "weight_view.h"

#include <stdlib.h>

#include "scale_layout.h"

#define WRONG(...)  return (tenon_decline(why, __VA_ARGS__), TENON_STATUS_INVALID_ARGUMENT)
#define CANNOT(...) return (tenon_decline(why, __VA_ARGS__), TENON_STATUS_UNSUPPORTED)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        int32_t status_ = (call);                                                                  \
        if (status_ != TENON_OK) return status_;                                                   \
    } while (0)

typedef long long ll; /* for printf */

/* Extents and strides up to here can be multiplied by the bits of an element without overflow.
 * Memory of this size does not exist, but an empty tensor may claim any extents. */
#define LARGEST ((int64_t)1 << 48)

static int32_t check_extents(const char *what, const DLTensor *tensor, tenon_reason *why) {
    for (int i = 0; tensor && i < tensor->ndim; i++) {
        int64_t stride = tensor->strides ? tensor->strides[i] : 0;
        if (tensor->shape[i] < 0 || tensor->shape[i] > LARGEST || stride > LARGEST) {
            WRONG("%s: extent %lld or stride %lld of dimension %d is out of range", what,
                  (ll)tensor->shape[i], (ll)stride, i);
        }
    }
    return TENON_OK;
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Stride of a dimension in elements; a NULL strides array means compact row-major. */
static int64_t stride_of(const DLTensor *tensor, int dimension) {
    if (tensor->strides) return tensor->strides[dimension];
    int64_t stride = 1;
    for (int i = tensor->ndim - 1; i > dimension; i--) stride *= tensor->shape[i];
    return stride;
}

/* ---- the elements ---- */

static int32_t plain_view(const DLTensor *tensor, tenon_weight_view *view, tenon_reason *why) {
    int d = tensor->ndim - 2;
    view->number = tenon_number_of(tensor->dtype);
    int64_t bytes = tenon_number_bytes(view->number);
    if (view->number < TENON_NUMBER_F32 || view->number > TENON_NUMBER_E5M2FNUZ) {
        WRONG("elements of type %s need a descriptor that says their format",
              tenon_number_name(view->number));
    }
    view->n = tensor->shape[d];
    view->k = tensor->shape[d + 1];
    view->n_stride = stride_of(tensor, d) * bytes;
    view->k_stride = stride_of(tensor, d + 1) * bytes;
    view->expert_stride = d ? stride_of(tensor, 0) * bytes : 0;
    return TENON_OK;
}

/* Which number a code is, from the format, the tensor's type and the descriptor's element. */
static int32_t resolve_number(const DLTensor *tensor, const tenon_quant *quant,
                              const tenon_format_storage *storage, tenon_weight_view *view,
                              tenon_reason *why) {
    static const tenon_number by_element[TENON_ELEMENT_COUNT] = {
        [TENON_ELEMENT_E4M3FN] = TENON_NUMBER_E4M3FN,
        [TENON_ELEMENT_E4M3FNUZ] = TENON_NUMBER_E4M3FNUZ,
        [TENON_ELEMENT_E5M2] = TENON_NUMBER_E5M2,
        [TENON_ELEMENT_E5M2FNUZ] = TENON_NUMBER_E5M2FNUZ};
    tenon_number stored = tenon_number_of(tensor->dtype);
    int is_bytes = stored == TENON_NUMBER_U8 && tensor->dtype.lanes == 1;

    if (quant->element < 0 || quant->element >= TENON_ELEMENT_COUNT) {
        WRONG("element=%d is not a TENON_ELEMENT_*", (int)quant->element);
    }
    if (storage->number != TENON_NUMBER_UNKNOWN) {
        if (quant->element != TENON_ELEMENT_AS_TENSOR) {
            WRONG("element=%d is for FP8 and MXFP8, the format is %s", (int)quant->element,
                  storage->name);
        }
        view->number = storage->number;
        if (quant->format == TENON_FORMAT_INT8) {
            if (!is_bytes && stored != TENON_NUMBER_I8) {
                WRONG("INT8 elements are i8 or u8, not %s", tenon_number_name(stored));
            }
            view->number = stored;
            return TENON_OK;
        }
        if (storage->entry_bytes == 4) {
            if (stored != TENON_NUMBER_I32) {
                WRONG("%s is stored in i32 words, not in %s", storage->name,
                      tenon_number_name(stored));
            }
            return TENON_OK;
        }
        if (!is_bytes && stored != storage->number) {
            WRONG("%s is stored in u8%s%s, not in %s", storage->name,
                  storage->number > TENON_NUMBER_I64 ? " or as " : "",
                  storage->number > TENON_NUMBER_I64 ? tenon_number_name(storage->number) : "",
                  tenon_number_name(stored));
        }
        return TENON_OK;
    }

    view->number = is_bytes ? by_element[quant->element] : stored;
    if (view->number == TENON_NUMBER_UNKNOWN) {
        WRONG("%s elements in u8 need `element` to say which float8 they are", storage->name);
    }
    if (view->number < TENON_NUMBER_E4M3FN || view->number > TENON_NUMBER_E5M2FNUZ) {
        WRONG("%s elements are a float8 or u8, not %s", storage->name, tenon_number_name(stored));
    }
    if (!is_bytes && quant->element != TENON_ELEMENT_AS_TENSOR &&
        by_element[quant->element] != stored) {
        WRONG("element says %s, the tensor %s", tenon_number_name(by_element[quant->element]),
              tenon_number_name(stored));
    }
    if (quant->format == TENON_FORMAT_MXFP8 && view->number != TENON_NUMBER_E4M3FN &&
        view->number != TENON_NUMBER_E5M2) {
        WRONG("MXFP8 elements are e4m3fn or e5m2, not %s", tenon_number_name(view->number));
    }
    return TENON_OK;
}

/* Extents of the storage tensor in entries, and strides in bytes; sub-byte types count their bits.
 */
static int32_t entry_geometry(const DLTensor *tensor, const tenon_format_storage *storage,
                              int64_t extent[2], int64_t stride_bytes[3], tenon_reason *why) {
    int64_t bits = (int64_t)tensor->dtype.bits * tensor->dtype.lanes;
    int64_t entry_bits = 8 * storage->entry_bytes;
    int d = tensor->ndim - 2;
    extent[0] = tensor->shape[d];
    if (tensor->shape[d + 1] * bits % entry_bits) {
        WRONG("%lld elements of %d bits do not fill whole bytes", (ll)tensor->shape[d + 1],
              (int)bits);
    }
    extent[1] = tensor->shape[d + 1] * bits / entry_bits;
    for (int i = 0; i < tensor->ndim; i++) {
        int64_t stride = stride_of(tensor, i);
        int64_t *to = &stride_bytes[i - d + 1];
        if (i == d + 1 && bits < 8) {
            if (stride != 1 && tensor->shape[i] > 1) {
                WRONG("stride %lld of the last dimension: packed elements must be contiguous",
                      (ll)stride);
            }
            *to = 1;
            continue;
        }
        if (stride * bits % 8)
            WRONG("stride %lld of dimension %d is not whole bytes", (ll)stride, i);
        *to = stride * bits / 8;
    }
    if (storage->k_per != 1 && storage->entry_bytes == 1 && stride_bytes[2] != 1 && extent[1] > 1) {
        WRONG("the last dimension of %s must be contiguous", storage->name);
    }
    return TENON_OK;
}

/* Logical extent from a number of entries, or from the descriptor where it says one. */
static int32_t logical_extent(const char *what, const char *format, int64_t entries, int64_t said,
                              int64_t per, int64_t per_entries, int64_t *out, tenon_reason *why) {
    if (entries % per_entries) {
        WRONG("%s: %lld stored entries along %s are not a multiple of %lld", format, (ll)entries,
              what, (ll)per_entries);
    }
    *out = entries / per_entries * per;
    if (said == 0) return TENON_OK;
    if (said < 0 || ceil_div(said, per) * per_entries != entries) {
        WRONG("%s: %s=%lld does not fit %lld stored entries, which hold %lld", format, what,
              (ll)said, (ll)entries, (ll)*out);
    }
    *out = said;
    return TENON_OK;
}

static int32_t element_view(const DLTensor *tensor, const tenon_quant *quant,
                            const tenon_format_storage *storage, tenon_weight_view *view,
                            tenon_reason *why) {
    int64_t extent[2], stride_bytes[3] = {0, 0, 0};
    TRY(resolve_number(tensor, quant, storage, view, why));
    TRY(entry_geometry(tensor, storage, extent, stride_bytes, why));
    int n_dimension = storage->k_first ? 1 : 0, k_dimension = 1 - n_dimension;
    TRY(logical_extent("n", storage->name, extent[n_dimension], quant->rows, storage->n_per, 1,
                       &view->n, why));
    TRY(logical_extent("k", storage->name, extent[k_dimension], quant->cols, storage->k_per,
                       storage->k_entries, &view->k, why));
    view->expert_stride = stride_bytes[0];
    view->n_stride = stride_bytes[1 + n_dimension];
    view->k_stride = stride_bytes[1 + k_dimension];
    if (storage->group && view->k % storage->group) {
        WRONG("k=%lld, %s needs a multiple of %d", (ll)view->k, storage->name, (int)storage->group);
    }
    return TENON_OK;
}

/* ---- the parameters beside them ---- */

static int32_t resolve_groups(const tenon_quant *quant, const tenon_format_storage *storage,
                              tenon_weight_view *view, tenon_reason *why) {
    int64_t cols = quant->group_cols, rows = quant->group_rows;
    if (cols < -1) WRONG("group_cols=%lld is less than -1", (ll)cols);
    if (rows < -1) WRONG("group_rows=%lld is less than -1", (ll)rows);
    if (storage->group && cols != 0 && cols != storage->group) {
        WRONG("group_cols=%lld, %s has groups of %d", (ll)cols, storage->name, (int)storage->group);
    }
    int blocks_of_rows = quant->format == TENON_FORMAT_FP8 || quant->format == TENON_FORMAT_INT8;
    if (!blocks_of_rows && rows != 0 && rows != 1) {
        WRONG("group_rows=%lld, only FP8 and INT8 share scales between rows", (ll)rows);
    }
    int64_t all_rows = view->n > 0 ? view->n : 1, all_cols = view->k > 0 ? view->k : 1;
    view->group_cols = storage->group ? storage->group : cols > 0 ? cols : all_cols;
    view->group_rows = rows > 0 ? rows : rows == -1 ? all_rows : 1;
    view->row_groups = ceil_div(view->n, view->group_rows);
    view->col_groups = ceil_div(view->k, view->group_cols);
    return TENON_OK;
}

/* What the tensors of scales may look like beside the elements. */
typedef struct tensor_form {
    int has_experts; /* a first dimension of experts, as the elements have */
    int more_rows;   /* they may go on for rows that the elements do not have: activations whose
                        descriptor was made for the largest number of tokens */
} tensor_form;

static int extent_fits(int64_t got, int64_t want, int more) {
    return more ? got >= want : got == want;
}

/* Fits a parameter tensor to [rows, cols] groups (with the experts before, if the weight has them).
 * A dimension of one group may be left out, and so may both. `swapped`: stored as [cols, rows]. */
static int32_t fit_plane(const char *what, const DLTensor *tensor, tensor_form form,
                         int64_t experts, int64_t rows, int64_t cols, int swapped,
                         tenon_parameter_plane *plane, tenon_reason *why) {
    int first = form.has_experts ? 1 : 0;
    int64_t want[2] = {swapped ? cols : rows, swapped ? rows : cols};
    int64_t stride[2] = {0, 0};
    if (tensor->ndim < first || (form.has_experts && tensor->shape[0] != experts)) {
        WRONG("%s: the first dimension must be the %lld experts", what, (ll)experts);
    }
    int fits, n_dimension = swapped ? 1 : 0; /* the one that counts row groups */
    int d = tensor->ndim - first;
    if (d == 2) {
        fits = 1;
        for (int i = 0; i < 2; i++) {
            int more = form.more_rows && i == n_dimension;
            fits = fits && extent_fits(tensor->shape[first + i], want[i], more);
            stride[i] = stride_of(tensor, first + i);
        }
    } else if (d == 1) {
        int there = cols == 1 ? n_dimension : 1 - n_dimension;
        int more = form.more_rows && there == n_dimension;
        fits = (cols == 1 || rows == 1) && extent_fits(tensor->shape[first], want[there], more);
        stride[there] = stride_of(tensor, first);
    } else {
        fits = d == 0 && rows <= 1 && cols == 1;
    }
    if (!fits) {
        WRONG("%s: shape [%s%lld, %lld] expected, got %d dimensions [%lld, %lld]", what,
              form.has_experts ? "experts, " : "", (ll)want[0], (ll)want[1], (int)tensor->ndim,
              (ll)(d >= 1 ? tensor->shape[first] : 1), (ll)(d >= 2 ? tensor->shape[first + 1] : 1));
    }
    plane->present = 1;
    plane->number = tenon_number_of(tensor->dtype);
    plane->data = (const uint8_t *)tenon_data(tensor);
    plane->expert_stride = form.has_experts ? stride_of(tensor, 0) : 0;
    plane->row_stride = stride[swapped ? 1 : 0];
    plane->col_stride = stride[swapped ? 0 : 1];
    return TENON_OK;
}

static int32_t fit_swizzled(const DLTensor *scale, tensor_form form, tenon_weight_view *view,
                            tenon_reason *why) {
    int64_t bytes = tenon_scale_128x4_bytes(view->n, view->col_groups), count = 1, total;
    if (__builtin_mul_overflow(bytes, view->experts, &total)) {
        WRONG("scale: %lld experts of %lld bytes", (ll)view->experts, (ll)bytes);
    }
    for (int i = scale->ndim - 1; i >= 0; i--) {
        if (scale->shape[i] > 1 && stride_of(scale, i) != count) {
            WRONG("scale: the 128x4 layout must be contiguous");
        }
        if (__builtin_mul_overflow(count, scale->shape[i], &count)) WRONG("scale: too large");
    }
    if (!extent_fits(count, total, form.more_rows)) {
        WRONG(
            "scale: %lld bytes expected for %lld rows of %lld blocks in the 128x4 layout, got %lld",
            (ll)total, (ll)view->n, (ll)view->col_groups, (ll)count);
    }
    view->scale_swizzled = 1;
    view->scale.present = 1;
    view->scale.data = (const uint8_t *)tenon_data(scale);
    view->scale.expert_stride = form.has_experts ? bytes : 0;
    return TENON_OK;
}

/* The type of a scale; plain bytes are the 8-bit float that the format has for scales. */
static int32_t resolve_scale_number(const DLTensor *scale, int32_t format, tenon_weight_view *view,
                                    tenon_reason *why) {
    tenon_number number = tenon_number_of(scale->dtype);
    const char *name = tenon_number_name(number);
    if (tenon_format_is_mx(format)) {
        if (number != TENON_NUMBER_E8M0 && number != TENON_NUMBER_U8) {
            WRONG("scale: e8m0 or u8 expected, got %s", name);
        }
        view->scale.number = TENON_NUMBER_E8M0;
    } else if (format == TENON_FORMAT_NVFP4) {
        if (number != TENON_NUMBER_E4M3FN && number != TENON_NUMBER_U8) {
            WRONG("scale: e4m3fn or u8 expected, got %s", name);
        }
        view->scale.number = TENON_NUMBER_E4M3FN;
    } else {
        int is_float =
            number == TENON_NUMBER_F32 || number == TENON_NUMBER_F16 || number == TENON_NUMBER_BF16;
        int is_power = format == TENON_FORMAT_FP8 &&
                       (number == TENON_NUMBER_E8M0 || number == TENON_NUMBER_U8);
        if (!is_float && !is_power) WRONG("scale: %s is not a scale of this format", name);
        view->scale.number = is_power ? TENON_NUMBER_E8M0 : number;
    }
    return TENON_OK;
}

static int32_t scale_plane(const tenon_quant *quant, const tenon_format_storage *storage,
                           tensor_form form, tenon_weight_view *view, tenon_reason *why) {
    const DLTensor *scale = quant->scale;
    if (!scale) WRONG("scale is NULL, %s needs it", storage->name);
    if (quant->scale_layout < 0 || quant->scale_layout >= TENON_SCALE_LAYOUT_COUNT) {
        WRONG("scale_layout=%d is not a TENON_SCALE_LAYOUT_*", (int)quant->scale_layout);
    }
    if (quant->scale_layout == TENON_SCALE_LAYOUT_SWIZZLE_128X4) {
        if (!tenon_format_is_mx(quant->format) && quant->format != TENON_FORMAT_NVFP4) {
            WRONG("scale_layout: SWIZZLE_128X4 is for the MX formats and NVFP4, not for %s",
                  storage->name);
        }
        TRY(fit_swizzled(scale, form, view, why));
    } else {
        int swapped = storage->k_first; /* GPTQ and AWQ store parameters as they store elements */
        TRY(fit_plane("scale", scale, form, view->experts, view->row_groups, view->col_groups,
                      swapped, &view->scale, why));
    }
    return resolve_scale_number(scale, quant->format, view, why);
}

static int32_t zero_plane(const tenon_quant *quant, const tenon_format_storage *storage,
                          tensor_form form, tenon_weight_view *view, tenon_reason *why) {
    const DLTensor *zero = quant->zero_point;
    if (!zero) return TENON_OK;
    int packed = tenon_format_is_word_packed(quant->format);
    int plain = quant->format == TENON_FORMAT_INT8 || quant->format == TENON_FORMAT_INT4;
    if (!packed && !plain) WRONG("zero_point must be NULL, %s has none", storage->name);
    tenon_number number = tenon_number_of(zero->dtype);
    if (packed) {
        int64_t per_word = quant->format == TENON_FORMAT_INT8_CT ? 4 : 8;
        if (number != TENON_NUMBER_I32) {
            WRONG("zero_point: i32 words expected, got %s", tenon_number_name(number));
        }
        return fit_plane("zero_point", zero, form, view->experts, ceil_div(view->n, per_word),
                         view->col_groups, storage->k_first, &view->zero_point, why);
    }
    if (number != TENON_NUMBER_I32 && number != TENON_NUMBER_I8 && number != TENON_NUMBER_U8 &&
        number != TENON_NUMBER_F32 && number != TENON_NUMBER_F16 && number != TENON_NUMBER_BF16) {
        WRONG("zero_point: %s is not a zero point", tenon_number_name(number));
    }
    return fit_plane("zero_point", zero, form, view->experts, view->row_groups, view->col_groups, 0,
                     &view->zero_point, why);
}

static int32_t index_plane(const tenon_quant *quant, const tenon_format_storage *storage,
                           tenon_weight_view *view, tenon_reason *why) {
    const DLTensor *index = quant->group_index;
    if (!index) return TENON_OK;
    if (!tenon_format_is_word_packed(quant->format) || quant->format == TENON_FORMAT_INT4_AWQ) {
        WRONG("group_index must be NULL, %s has none", storage->name);
    }
    if (view->experts != 1) CANNOT("group_index with %lld experts", (ll)view->experts);
    if (tenon_number_of(index->dtype) != TENON_NUMBER_I32) {
        WRONG("group_index: i32 expected, got %s",
              tenon_number_name(tenon_number_of(index->dtype)));
    }
    return fit_plane("group_index", index, (tensor_form){0, 0}, 1, 1, view->k, 0,
                     &view->group_index, why);
}

/* With a group index the table of groups may be larger than k / group_cols: a shard of a weight
 * that was cut along k keeps the whole table. Its length is then what the scales say. */
static int32_t groups_of_index(const tenon_quant *quant, const tenon_format_storage *storage,
                               tenon_weight_view *view, tenon_reason *why) {
    const DLTensor *scale = quant->scale;
    if (!quant->group_index || !scale) return TENON_OK;
    if (scale->ndim < 2)
        WRONG("scale: two dimensions expected beside group_index, got %d", (int)scale->ndim);
    view->col_groups = scale->shape[scale->ndim - (storage->k_first ? 2 : 1)];
    return TENON_OK;
}

static int32_t make_view(const DLTensor *tensor, const tenon_quant *quant, tensor_form form,
                         tenon_weight_view *view, tenon_reason *why) {
    tenon_weight_view made = {.experts = 1, .group_rows = 1, .group_cols = 1};
    int32_t format = quant ? quant->format : TENON_FORMAT_NONE;
    if (format < 0 || format >= TENON_FORMAT_COUNT)
        WRONG("format=%d is not a TENON_FORMAT_*", (int)format);
    if (format == TENON_FORMAT_PACKED)
        CANNOT("format PACKED is read only by the kernel that packed it");
    if (tensor->ndim != 2 && tensor->ndim != 3) {
        WRONG("2 dimensions expected, or 3 with experts, got %d", (int)tensor->ndim);
    }
    TRY(check_extents("elements", tensor, why));
    if (quant) {
        TRY(check_extents("scale", quant->scale, why));
        TRY(check_extents("zero_point", quant->zero_point, why));
        TRY(check_extents("global_scale", quant->global_scale, why));
        TRY(check_extents("group_index", quant->group_index, why));
        if (quant->rows < 0 || quant->rows > LARGEST || quant->cols < 0 || quant->cols > LARGEST) {
            WRONG("rows=%lld or cols=%lld is out of range", (ll)quant->rows, (ll)quant->cols);
        }
    }
    form.has_experts = tensor->ndim == 3;
    if (form.has_experts) made.experts = tensor->shape[0];
    made.format = format;
    made.data = (const uint8_t *)tenon_data(tensor);

    const tenon_format_storage *storage = tenon_format_storage_of(format);
    if (!storage) {
        if (quant &&
            (quant->scale || quant->zero_point || quant->global_scale || quant->group_index)) {
            WRONG("format NONE takes no scale, zero_point, global_scale or group_index");
        }
        TRY(plain_view(tensor, &made, why));
        made.group_cols = made.k > 0 ? made.k : 1;
        *view = made;
        return TENON_OK;
    }

    TRY(element_view(tensor, quant, storage, &made, why));
    TRY(resolve_groups(quant, storage, &made, why));
    if (tenon_format_is_gguf(format)) {
        if (quant->scale || quant->zero_point || quant->global_scale || quant->group_index) {
            WRONG("%s carries its scales in its blocks; the tensors of scales must be NULL",
                  storage->name);
        }
        *view = made;
        return TENON_OK;
    }
    TRY(groups_of_index(quant, storage, &made, why));
    TRY(scale_plane(quant, storage, form, &made, why));
    TRY(zero_plane(quant, storage, form, &made, why));
    TRY(index_plane(quant, storage, &made, why));
    if (quant->global_scale) {
        if (format != TENON_FORMAT_NVFP4)
            WRONG("global_scale must be NULL, %s has none", storage->name);
        if (tenon_number_of(quant->global_scale->dtype) != TENON_NUMBER_F32) {
            WRONG("global_scale: f32 expected");
        }
        TRY(fit_plane("global_scale", quant->global_scale, form, made.experts, 1, 1, 0,
                      &made.global_scale, why));
        made.global_divides = (quant->flags & TENON_QUANT_RECIPROCAL_GLOBAL_SCALE) != 0;
    }
    *view = made;
    return TENON_OK;
}

int32_t tenon_weight_view_from(const DLTensor *tensor, const tenon_quant *quant,
                               tenon_weight_view *view, tenon_reason *why) {
    return make_view(tensor, quant, (tensor_form){0, 0}, view, why);
}

int32_t tenon_activation_view_from(const DLTensor *tensor, const tenon_quant *quant,
                                   tenon_weight_view *view, tenon_reason *why) {
    return make_view(tensor, quant, (tensor_form){0, 1}, view, why);
}
