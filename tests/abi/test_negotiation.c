/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, and lies: what a host may say about itself and its structs, and what it is answered.
 * Built against today's headers and against every frozen set of them. */
#include "abi_case.h"

static const tenon_api *api;
static tenon_error error = {.struct_size = sizeof error};
static tenon_get_api_fn get_api;

#define VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

static void test_versions(void) {
    static const struct {
        uint32_t newest, oldest; /* of the host; 0: it gives no table */
        int32_t status;
        uint32_t answer;
    } cases[] = {
        {VERSION(1, 0), 0, TENON_STATUS_OK, VERSION(1, 0)},
        {VERSION(1, 7), 0, TENON_STATUS_OK, 0},
        {VERSION(1, 7), VERSION(1, 0), TENON_STATUS_OK, 0},
        {VERSION(2, 3), VERSION(1, 0), TENON_STATUS_OK, 0},
        {VERSION(2, 3), VERSION(2, 0), TENON_STATUS_VERSION_MISMATCH, 0},
        {VERSION(1, 900), VERSION(1, 900), TENON_STATUS_VERSION_MISMATCH, 0},
        {VERSION(0, 9), 0, TENON_STATUS_VERSION_MISMATCH, 0},
        {0, 0, TENON_STATUS_VERSION_MISMATCH, 0},
    };
    uint32_t newest = UINT32_MAX;
    const tenon_api *table = NULL;
    CHECK(!get_api(NULL, &newest, &table, &error) && table && newest >= VERSION(1, 0), "%s",
          error.text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tenon_host host = {.struct_size = sizeof host, .min_version = cases[i].oldest};
        uint32_t version = cases[i].newest;
        uint32_t expected = cases[i].status || newest < cases[i].newest ? newest : cases[i].newest;
        if (cases[i].answer) expected = cases[i].answer;
        table = NULL;
        error.text[0] = 0;
        int32_t status = get_api(cases[i].oldest ? &host : NULL, &version, &table, &error);
        CHECK(status == cases[i].status && version == expected,
              "case %zu: status %d, version 0x%x: %s", i, status, version, error.text);
        CHECK(!table == !!status, "case %zu: the table", i);
        char range[32];
        snprintf(range, sizeof range, "to %u.%u", newest >> 16, newest & 0xffff);
        CHECK(!status || (strstr(error.text, range) && strstr(error.text, "the host speaks")),
              "both ranges must be named: %s", error.text);
    }
    uint32_t version = TENON_VERSION;
    CHECK(get_api(NULL, NULL, &table, &error) == TENON_STATUS_INVALID_ARGUMENT &&
              get_api(NULL, &version, NULL, NULL) == TENON_STATUS_INVALID_ARGUMENT,
          "NULL");
    CHECK(!get_api(NULL, &version, &table, NULL), "without an error");
    CHECK(table->struct_size >= sizeof(tenon_api), "%u", table->struct_size);
    /* Every slot can be called through. */
    for (size_t at = offsetof(tenon_api, status_text); at < sizeof(tenon_api);
         at += sizeof(void *)) {
        void *slot;
        memcpy(&slot, (const char *)table + at, sizeof slot);
        CHECK(slot, "slot at byte %zu is NULL", at);
    }
}

/* ---- struct_size ---- */
typedef int32_t (*attempt_fn)(tenon_context *context, void *object);

static int32_t try_call(tenon_context *context, void *args) {
    return api->call(context, TENON_OP_MERGE_STATES, args, &error);
}
static int32_t try_run(tenon_context *context, void *args) {
    static tenon_plan *plan;
    static abi_case own;
    static tenon_context *of;
    if (of != context)
        CHECK(!api->plan_create(of = context, TENON_OP_MERGE_STATES, abi_case_make(&own), NULL,
                                &plan, &error),
              "%s", error.text);
    return api->run(plan, args, &error);
}
static int32_t try_options(tenon_context *context, void *options) {
    tenon_context *made = NULL;
    (void)context;
    int32_t status = api->context_create(options, &made, &error);
    CHECK(!made == !!status, "context");
    api->context_destroy(made);
    return status;
}
static int32_t try_host(tenon_context *context, void *host) {
    tenon_context_options options = {.struct_size = sizeof options, .host = host};
    return try_options(context, &options);
}
static int32_t try_plan_options(tenon_context *context, void *options) {
    abi_case c;
    tenon_plan *plan = NULL;
    int32_t status =
        api->plan_create(context, TENON_OP_MERGE_STATES, abi_case_make(&c), options, &plan, &error);
    CHECK(!plan == !!status, "plan");
    api->plan_destroy(plan);
    return status;
}
static int32_t dequantize(tenon_context *context, void *quant, bool planned) {
    static const tenon_quant honest = {
        .struct_size = sizeof honest, .format = TENON_FORMAT_GGUF_Q8_0, .rows = 2, .cols = 32};
    static uint8_t q[2][34] = {{0}};
    float x[2][32];
    test_tensor tq, tx;
    tenon_plan *plan = NULL;
    tenon_dequantize_args a = {.struct_size = sizeof a,
                               .q = test_view(&tq, q, kDLUInt, 8, SHAPE(2, 34)),
                               .q_quant = quant,
                               .x = test_view(&tx, x, kDLFloat, 32, SHAPE(2, 32))};
    if (!planned) return api->call(context, TENON_OP_DEQUANTIZE, &a, &error);
    a.q_quant = &honest;
    CHECK(!api->plan_create(context, TENON_OP_DEQUANTIZE, &a, NULL, &plan, &error), "%s",
          error.text);
    a.q_quant = quant;
    int32_t status = api->run(plan, &a, &error);
    api->plan_destroy(plan);
    return status;
}
static int32_t try_quant(tenon_context *context, void *quant) {
    return dequantize(context, quant, false);
}
static int32_t try_quant_in_run(tenon_context *context, void *quant) {
    return dequantize(context, quant, true);
}
static int32_t try_get_api(tenon_context *context, void *host) {
    uint32_t version = TENON_VERSION;
    const tenon_api *table;
    (void)context;
    return get_api(host, &version, &table, &error);
}

static void lie(tenon_context *context, const char *what, attempt_fn attempt, const void *honest,
                uint32_t size) {
    _Alignas(16) unsigned char object[4096 + 64];
    const struct {
        uint32_t size;
        bool garbage;
        int32_t status;
    } lies[] = {
        {size, false, TENON_STATUS_OK},
        {0, false, TENON_STATUS_INVALID_ARGUMENT},
        {1, false, TENON_STATUS_INVALID_ARGUMENT},
        {size - 4, false, TENON_STATUS_INVALID_ARGUMENT},
        {size + 8, false, TENON_STATUS_OK},
        {size + 64, false, TENON_STATUS_OK},
        {size + 8, true, TENON_STATUS_UNSUPPORTED},
        {size + 64, true, TENON_STATUS_UNSUPPORTED},
        {1u << 30, false, TENON_STATUS_INVALID_ARGUMENT},
        {UINT32_MAX, false, TENON_STATUS_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        memset(object, 0, sizeof object);
        memcpy(object, honest, size);
        memcpy(object, &lies[i].size, 4);
        if (lies[i].garbage) object[lies[i].size - 1] = 1; /* the very last byte counts too */
        error.text[0] = 0;
        int32_t status = attempt(context, object);
        CHECK(status == lies[i].status, "%s: struct_size %u%s: status %d: %s", what, lies[i].size,
              lies[i].garbage ? " with garbage" : "", status, error.text);
        CHECK(!status || strstr(error.text, lies[i].garbage ? "is set, beyond" : "struct_size="),
              "%s: %s", what, error.text);
    }
}

/* Each shorter size (8 bytes are there in any version), in memory that ends there: an address
 * sanitizer sees who reads past it. */
static void be_short(tenon_context *context, const char *what, attempt_fn attempt,
                     const void *honest, uint32_t size) {
    for (uint32_t shorter = 8; shorter < size; shorter += 4) {
        void *object = malloc(shorter);
        memcpy(object, honest, shorter);
        memcpy(object, &shorter, 4);
        int32_t status = attempt(context, object);
        CHECK(status == TENON_STATUS_INVALID_ARGUMENT, "%s of %u bytes: %d: %s", what, shorter,
              status, error.text);
        free(object);
    }
}

static void test_sizes(tenon_context *context) {
    abi_case c;
    const tenon_context_options options = {.struct_size = sizeof options};
    const tenon_plan_options plan_options = {.struct_size = sizeof plan_options};
    const tenon_host host = {.struct_size = sizeof host};
    const tenon_quant quant = {
        .struct_size = sizeof quant, .format = TENON_FORMAT_GGUF_Q8_0, .rows = 2, .cols = 32};
    abi_case_make(&c);
    lie(context, "args of call", try_call, &c.args, sizeof c.args);
    be_short(context, "args of call", try_call, &c.args, sizeof c.args);
    lie(context, "args of run", try_run, &c.args, sizeof c.args);
    be_short(context, "args of run", try_run, &c.args, sizeof c.args);
    lie(context, "context options", try_options, &options, sizeof options);
    be_short(context, "context options", try_options, &options, sizeof options);
    lie(context, "host", try_host, &host, sizeof host);
    be_short(context, "host", try_host, &host, sizeof host);
    lie(context, "host of tenon_get_api", try_get_api, &host, sizeof host);
    be_short(context, "host of tenon_get_api", try_get_api, &host, sizeof host);
    lie(context, "plan options", try_plan_options, &plan_options, sizeof plan_options);
    be_short(context, "plan options", try_plan_options, &plan_options, sizeof plan_options);
    lie(context, "descriptor", try_quant, &quant, sizeof quant);
    lie(context, "descriptor in run", try_quant_in_run, &quant, sizeof quant);
    be_short(context, "descriptor in run", try_quant_in_run, &quant, sizeof quant);
    be_short(context, "descriptor", try_quant, &quant, sizeof quant);
}

/* ---- flags, extensions ---- */
static void test_unknown(tenon_context *context) {
    abi_case c, planned;
    tenon_plan *plan;
    abi_case_make(&c);
    for (uint32_t bit = 1; bit < 32; bit++) { /* bit 0 is LSE_BASE2 */
        c.args.flags = 1u << bit;
        CHECK(try_call(context, &c.args) == TENON_STATUS_INVALID_ARGUMENT &&
                  strstr(error.text, "flags"),
              "bit %u: %s", bit, error.text);
        CHECK(try_run(context, &c.args) == TENON_STATUS_INVALID_ARGUMENT &&
                  strstr(error.text, "flags"),
              "bit %u: %s", bit, error.text);
    }
    c.args.flags = 0;
    const tenon_ext must = {sizeof must, 0x1234u | TENON_EXT_MUST_UNDERSTAND, NULL},
                    may = {sizeof may, 0x1234u, NULL}, may_then_must = {sizeof may, 7, &must},
                    small = {8, 7, NULL};
    tenon_ext endless = {sizeof endless, 7, &endless};
    CHECK(!api->plan_create(context, TENON_OP_MERGE_STATES, abi_case_make(&planned), NULL, &plan,
                            &error),
          "%s", error.text);
    const struct {
        const tenon_ext *chain;
        int32_t status;
    } chains[] = {{&may, TENON_STATUS_OK},
                  {&must, TENON_STATUS_UNSUPPORTED},
                  {&may_then_must, TENON_STATUS_UNSUPPORTED},
                  {&small, TENON_STATUS_INVALID_ARGUMENT},
                  {&endless, TENON_STATUS_INVALID_ARGUMENT}};
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        abi_case_make(&c);
        c.args.ext = chains[i].chain;
        int32_t status = api->run(plan, &c.args, &error);
        CHECK(status == chains[i].status && (status ? abi_case_untouched(&c) : abi_case_right(&c)),
              "run, chain %zu: %d: %s", i, status, error.text);
        status = try_call(context, &c.args);
        CHECK(status == chains[i].status, "call, chain %zu: %d: %s", i, status, error.text);
        tenon_quant quant = {.struct_size = sizeof quant,
                             .ext = chains[i].chain,
                             .format = TENON_FORMAT_GGUF_Q8_0,
                             .rows = 2,
                             .cols = 32};
        status = try_quant(context, &quant);
        CHECK(status == chains[i].status, "descriptor, chain %zu: %d: %s", i, status, error.text);
    }
    api->plan_destroy(plan);
}

/* ---- errors: any size of the caller's struct, or none ---- */
static void test_error_sizes(tenon_context *context) {
    abi_case c;
    struct {
        tenon_error e;
        unsigned char guard[64];
    } given;
    const uint32_t head = (uint32_t)offsetof(tenon_error, text);
    const uint32_t sizes[] = {0, 4, head, head + 1, head + 20, sizeof(tenon_error)};
    abi_case_make(&c);
    c.args.out = NULL;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(&given, 0xab, sizeof given);
        given.e.struct_size = sizes[i];
        CHECK(api->call(context, TENON_OP_MERGE_STATES, &c.args, &given.e) ==
                  TENON_STATUS_INVALID_ARGUMENT,
              "size %u", sizes[i]);
        const unsigned char *bytes = (const unsigned char *)&given;
        size_t end = sizes[i] < 4 ? 4 : sizes[i];
        bool clean = true;
        for (size_t b = end; b < sizeof given; b++) clean &= bytes[b] == 0xab;
        CHECK(clean, "struct_size %u: written past its end", sizes[i]);
        if (sizes[i] > head)
            CHECK(given.e.status == TENON_STATUS_INVALID_ARGUMENT &&
                      strlen(given.e.text) < sizes[i] - head,
                  "struct_size %u", sizes[i]);
    }
    CHECK(api->call(context, TENON_OP_MERGE_STATES, &c.args, NULL) == TENON_STATUS_INVALID_ARGUMENT,
          "no error wanted");
    CHECK(!strncmp(api->status_text(TENON_STATUS_UNSUPPORTED), "UNSUPPORTED: ", 13) &&
              api->status_text(-1) && api->status_text(1000),
          "status_text");
}

/* An answer is cut to what the host has room for. */
static void test_answer_sizes(tenon_context *context) {
    abi_case c;
    struct {
        tenon_query q;
        unsigned char guard[64];
    } given;
    memset(&given, 0xab, sizeof given);
    given.q.struct_size = offsetof(tenon_query, kernel);
    CHECK(!api->query(context, TENON_OP_MERGE_STATES, abi_case_make(&c), NULL, &given.q, &error),
          "%s", error.text);
    CHECK(given.q.status == TENON_STATUS_OK && given.q.struct_size == offsetof(tenon_query, kernel),
          "%d", given.q.status);
    CHECK((unsigned char)given.q.kernel[0] == 0xab, "written past the host's struct_size");
    memset(&given, 0xab, sizeof given);
    given.q.struct_size = sizeof given;
    CHECK(!api->query(context, TENON_OP_MERGE_STATES, &c.args, NULL, &given.q, &error) &&
              given.q.kernel[0] && given.guard[0] == 0xab,
          "%s", error.text);
    given.q.struct_size = 4;
    CHECK(api->query(context, TENON_OP_MERGE_STATES, &c.args, NULL, &given.q, &error) ==
              TENON_STATUS_INVALID_ARGUMENT,
          "%s", error.text);
}

int main(void) {
    void *library = dlopen(getenv("TENON_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    tenon_context *context = NULL;
    api = test_load();
    *(void **)&get_api = dlsym(library, "tenon_get_api");
    test_versions();
    CHECK(!api->context_create(NULL, &context, &error), "%s", error.text);
    test_sizes(context);
    test_unknown(context);
    test_error_sizes(context);
    test_answer_sizes(context);
    return test_report();
}
