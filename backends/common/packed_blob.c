/* SPDX-License-Identifier: Apache-2.0 */
#include "packed_blob.h"

/* Four independent lanes of multiply and rotate, so that it runs at the speed of memory. Each step
 * is one to one in the word it takes: a single damaged word always changes the result. */
uint64_t tenon_blob_checksum(const void *bytes, uint64_t count) {
    const uint64_t prime = 0x9e3779b97f4a7c15u;
    uint64_t lane[4] = {1, 2, 3, 4};
    const uint8_t *p = (const uint8_t *)bytes;
    uint64_t words = count / 8;
    for (uint64_t i = 0; i < words; i++, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        uint64_t mixed = (lane[i & 3] ^ word) * prime;
        lane[i & 3] = mixed << 29 | mixed >> 35;
    }
    uint64_t tail = 0;
    memcpy(&tail, p, count % 8);
    uint64_t sum = (count ^ tail) * prime;
    for (int i = 0; i < 4; i++) {
        sum = (sum << 31 | sum >> 33) ^ lane[i];
        sum *= prime;
    }
    return sum ^ sum >> 32;
}

static uint64_t header_checksum(const tenon_blob_header *header) {
    tenon_blob_header copy = *header;
    copy.header_checksum = 0;
    return tenon_blob_checksum(&copy, sizeof copy);
}

static void describe_part(tenon_blob_part *part, const DLTensor *tensor) {
    if (!tensor) return;
    int64_t count = 1;
    part->present = 1;
    part->dtype_code = tensor->dtype.code;
    part->dtype_bits = tensor->dtype.bits;
    part->dtype_lanes = tensor->dtype.lanes;
    part->ndim = tensor->ndim;
    for (int i = 0; i < tensor->ndim; i++) {
        part->shape[i] = tensor->shape[i];
        if (tensor->shape[i] == 0) count = 0; /* whatever the other extents claim */
    }
    for (int i = 0; i < tensor->ndim && count > 0; i++) count *= tensor->shape[i];
    part->size_bytes = (uint64_t)(count * tensor->dtype.bits * tensor->dtype.lanes + 7) / 8;
}

void tenon_blob_describe(tenon_blob_header *header, const DLTensor *w, const tenon_quant *quant,
                         const tenon_weight_view *view, int32_t backend, const char *layout,
                         int32_t compute) {
    memset(header, 0, sizeof *header);
    memcpy(header->magic, TENON_BLOB_MAGIC, 8);
    header->version = TENON_BLOB_VERSION;
    header->header_bytes = sizeof *header;
    header->blob_bytes = sizeof *header;
    header->backend = backend;
    header->compute = compute;
    snprintf(header->layout, sizeof header->layout, "%s", layout);
    header->experts = w->ndim == 3 ? view->experts : 0;
    header->n = view->n;
    header->k = view->k;
    describe_part(&header->part[TENON_BLOB_W], w);
    if (!quant) return;
    header->format = quant->format;
    header->element = quant->element;
    header->scale_layout = quant->scale_layout;
    header->group_cols = quant->group_cols;
    header->group_rows = quant->group_rows;
    header->quant_flags = quant->flags;
    header->rows = quant->rows;
    header->cols = quant->cols;
    describe_part(&header->part[TENON_BLOB_SCALE], quant->scale);
    describe_part(&header->part[TENON_BLOB_ZERO_POINT], quant->zero_point);
    describe_part(&header->part[TENON_BLOB_GLOBAL_SCALE], quant->global_scale);
    describe_part(&header->part[TENON_BLOB_GROUP_INDEX], quant->group_index);
}

static uint64_t align_64(uint64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

uint64_t tenon_blob_place_parts(tenon_blob_header *header) {
    uint64_t at = sizeof *header;
    for (int i = 0; i < TENON_BLOB_PARTS; i++) {
        tenon_blob_part *part = &header->part[i];
        if (!part->present) continue;
        part->offset_bytes = at;
        at = align_64(at + part->size_bytes);
    }
    return header->blob_bytes = at;
}

void tenon_blob_seal(void *blob, const tenon_blob_header *header) {
    tenon_blob_header sealed = *header;
    uint64_t payload_bytes = sealed.blob_bytes - sizeof sealed;
    sealed.payload_checksum =
        tenon_blob_checksum((const uint8_t *)blob + sizeof sealed, payload_bytes);
    sealed.header_checksum = header_checksum(&sealed);
    memcpy(blob, &sealed, sizeof sealed);
}

#define CORRUPT(...) return (tenon_decline(why, __VA_ARGS__), TENON_STATUS_CORRUPT)

typedef unsigned long long ull; /* for printf */

static int32_t check_parts(const tenon_blob_header *header, tenon_reason *why) {
    for (int i = 0; i < TENON_BLOB_PARTS; i++) {
        const tenon_blob_part *part = &header->part[i];
        if (!part->present) {
            static const tenon_blob_part none;
            if (memcmp(part, &none, sizeof none))
                CORRUPT("part %d of the packed weights is not there, but has a shape", i);
            continue;
        }
        int64_t bits = (int64_t)part->dtype_bits * part->dtype_lanes, whole = 1;
        int overflows = part->ndim < 0 || part->ndim > 4;
        for (int d = 0; d < part->ndim && !overflows; d++) {
            if (part->shape[d] == 0) whole = 0;
        }
        for (int d = 0; d < part->ndim && !overflows; d++) {
            overflows = part->shape[d] < 0 || __builtin_mul_overflow(whole, part->shape[d], &whole);
        }
        if (overflows || __builtin_mul_overflow(whole, bits, &whole) ||
            (uint64_t)(whole / 8 + (whole % 8 != 0)) != part->size_bytes) {
            CORRUPT("part %d of the packed weights says a size that is not that of its shape", i);
        }
        int outside =
            part->offset_bytes != 0 &&
            (part->offset_bytes < sizeof *header || part->offset_bytes > header->blob_bytes ||
             part->size_bytes > header->blob_bytes - part->offset_bytes);
        if (outside) {
            CORRUPT("part %d of %llu bytes at %llu does not lie in the blob of %llu bytes", i,
                    (ull)part->size_bytes, (ull)part->offset_bytes, (ull)header->blob_bytes);
        }
    }
    return TENON_OK;
}

int32_t tenon_blob_open(const void *blob, uint64_t available_bytes, const tenon_blob_header **out,
                        tenon_reason *why) {
    const tenon_blob_header *header = (const tenon_blob_header *)blob;
    if (!blob || (uintptr_t)blob % 64) {
        tenon_decline(why, "packed weights at %p must be aligned to 64 bytes", blob);
        return TENON_STATUS_INVALID_ARGUMENT;
    }
    if (available_bytes < sizeof *header) {
        CORRUPT("%llu bytes are too few for packed weights, whose header has %zu",
                (ull)available_bytes, sizeof *header);
    }
    if (memcmp(header->magic, TENON_BLOB_MAGIC, 8) != 0) {
        CORRUPT(
            "not packed weights: the first bytes are %02x %02x %02x %02x, not \"" TENON_BLOB_MAGIC
            "\"",
            (uint8_t)header->magic[0], (uint8_t)header->magic[1], (uint8_t)header->magic[2],
            (uint8_t)header->magic[3]);
    }
    if (header->version != TENON_BLOB_VERSION || header->header_bytes != sizeof *header) {
        CORRUPT("packed weights of version %u with a header of %u bytes; this library reads "
                "version %u: "
                "pack them again",
                header->version, header->header_bytes, TENON_BLOB_VERSION);
    }
    uint64_t sum = header_checksum(header);
    if (sum != header->header_checksum) {
        CORRUPT("the header of the packed weights is damaged: checksum %016llx, expected %016llx",
                (ull)sum, (ull)header->header_checksum);
    }
    if (header->blob_bytes < sizeof *header || header->blob_bytes > available_bytes) {
        CORRUPT("packed weights of %llu bytes are cut off at %llu", (ull)header->blob_bytes,
                (ull)available_bytes);
    }
    if (!memchr(header->layout, 0, sizeof header->layout)) CORRUPT("the layout's name has no end");
    int32_t status = check_parts(header, why);
    if (status == TENON_OK) *out = header;
    return status;
}

int32_t tenon_blob_verify(const tenon_blob_header *header, tenon_reason *why) {
    uint64_t sum = tenon_blob_checksum((const uint8_t *)header + sizeof *header,
                                       header->blob_bytes - sizeof *header);
    if (sum != header->payload_checksum) {
        CORRUPT("the packed weights are damaged: checksum %016llx, expected %016llx", (ull)sum,
                (ull)header->payload_checksum);
    }
    return TENON_OK;
}

void tenon_blob_tensors_of(const tenon_blob_header *header, tenon_blob_tensors *out) {
    memset(out, 0, sizeof *out);
    const DLTensor *given[TENON_BLOB_PARTS];
    for (int i = 0; i < TENON_BLOB_PARTS; i++) {
        const tenon_blob_part *part = &header->part[i];
        DLTensor *tensor = &out->tensor[i];
        given[i] = part->present ? tensor : NULL;
        if (part->offset_bytes) tensor->data = (uint8_t *)(uintptr_t)header + part->offset_bytes;
        tensor->device.device_type = kDLCPU;
        tensor->ndim = part->ndim;
        tensor->dtype.code = part->dtype_code;
        tensor->dtype.bits = part->dtype_bits;
        tensor->dtype.lanes = part->dtype_lanes;
        tensor->shape = out->shape[i];
        tensor->strides = out->strides[i];
        int64_t stride = 1;
        for (int d = part->ndim - 1; d >= 0; d--) {
            out->shape[i][d] = part->shape[d];
            out->strides[i][d] = stride;
            /* of an empty tensor, whatever the other extents claim */
            stride = (int64_t)((uint64_t)stride * (uint64_t)part->shape[d]);
        }
    }
    tenon_quant *quant = &out->quant;
    quant->struct_size = sizeof *quant;
    quant->flags = header->quant_flags;
    quant->format = header->format;
    quant->element = header->element;
    quant->scale_layout = header->scale_layout;
    quant->group_cols = header->group_cols;
    quant->group_rows = header->group_rows;
    quant->rows = header->rows;
    quant->cols = header->cols;
    quant->scale = given[TENON_BLOB_SCALE];
    quant->zero_point = given[TENON_BLOB_ZERO_POINT];
    quant->global_scale = given[TENON_BLOB_GLOBAL_SCALE];
    quant->group_index = given[TENON_BLOB_GROUP_INDEX];
}

/* ---- does a request for the original tensors fit? ---- */

static int32_t part_matches(const tenon_blob_part *part, const DLTensor *tensor, const char *name,
                            tenon_reason *why) {
    if (!part->present != !tensor) {
        tenon_decline(why,
                      part->present ? "%s is NULL, but the weights were packed with one"
                                    : "%s is given, but the weights were packed without",
                      name);
        return TENON_STATUS_INVALID_ARGUMENT;
    }
    if (!tensor) return TENON_OK;
    bool same = part->ndim == tensor->ndim && part->dtype_code == tensor->dtype.code &&
                part->dtype_bits == tensor->dtype.bits && part->dtype_lanes == tensor->dtype.lanes;
    for (int i = 0; same && i < part->ndim; i++) same = part->shape[i] == tensor->shape[i];
    if (same) return TENON_OK;
    char text[2][96];
    for (int side = 0; side < 2; side++) {
        const int64_t *shape = side ? tensor->shape : part->shape;
        int ndim = side ? tensor->ndim : part->ndim, used = 0;
        text[side][0] = 0;
        for (int i = 0; i < ndim && used < 72; i++) {
            used += snprintf(text[side] + used, sizeof text[side] - (size_t)used,
                             i ? ", %lld" : "%lld", (long long)shape[i]);
        }
    }
    tenon_decline(why, "%s: type (%d, %d bits) and shape [%s] expected, got (%d, %d bits) and [%s]",
                  name, part->dtype_code, part->dtype_bits, text[0], tensor->dtype.code,
                  tensor->dtype.bits, text[1]);
    return TENON_STATUS_INVALID_ARGUMENT;
}

int32_t tenon_blob_matches(const tenon_blob_header *header, const DLTensor *w,
                           const tenon_quant *quant, tenon_reason *why) {
    const tenon_quant none = {.format = TENON_FORMAT_NONE}, *q = quant ? quant : &none;
    const struct {
        const char *name;
        int64_t packed, asked;
    } numbers[] = {
        {"format", header->format, q->format},
        {"element", header->element, q->element},
        {"scale_layout", header->scale_layout, q->scale_layout},
        {"group_cols", header->group_cols, q->group_cols},
        {"group_rows", header->group_rows, q->group_rows},
        {"flags", header->quant_flags, q->flags},
        {"rows", header->rows, q->rows},
        {"cols", header->cols, q->cols},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].packed != numbers[i].asked) {
            tenon_decline(why, "w_quant.%s is %lld, but the weights were packed with %lld",
                          numbers[i].name, (long long)numbers[i].asked,
                          (long long)numbers[i].packed);
            return TENON_STATUS_INVALID_ARGUMENT;
        }
    }
    static const char *const names[TENON_BLOB_PARTS] = {
        "w", "w_quant.scale", "w_quant.zero_point", "w_quant.global_scale", "w_quant.group_index"};
    const DLTensor *asked[TENON_BLOB_PARTS] = {w, q->scale, q->zero_point, q->global_scale,
                                               q->group_index};
    for (int i = 0; i < TENON_BLOB_PARTS; i++) {
        int32_t status = part_matches(&header->part[i], asked[i], names[i], why);
        if (status != TENON_OK) return status;
    }
    return TENON_OK;
}
