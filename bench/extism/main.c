/* What the reference guests do, for Extism: one pass over the bytes, as
 * floors.RedactScan makes it, on input and output through Extism's kernel. */
#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT(input_length) uint64_t input_length(void);
IMPORT(input_load_u8) uint32_t input_load_u8(uint64_t at);
IMPORT(input_load_u64) uint64_t input_load_u64(uint64_t at);
IMPORT(alloc) uint64_t alloc(uint64_t length);
IMPORT(store_u8) void store_u8(uint64_t at, uint32_t v);
IMPORT(store_u64) void store_u64(uint64_t at, uint64_t v);
IMPORT(output_set) void output_set(uint64_t at, uint64_t length);

#define MOST (64 * 1024)
static unsigned char e[MOST + 16], out[MOST + 16];
static uint32_t n, copied, written;

static uint32_t skip_space(uint32_t i) { while (i < n && e[i] <= ' ') i++; return i; }

static uint32_t skip_string(uint32_t i)
{
    for (i++; i < n; i++) {
        if (e[i] == '\\') i++;
        else if (e[i] == '"') return i + 1;
    }
    return n;
}

static uint32_t skip_value(uint32_t i)
{
    if (i >= n) return n;
    if (e[i] == '"') return skip_string(i);
    if (e[i] == '{' || e[i] == '[') {
        int depth = 0;
        while (i < n) {
            if (e[i] == '"') { i = skip_string(i); continue; }
            if (e[i] == '{' || e[i] == '[') depth++;
            if ((e[i] == '}' || e[i] == ']') && --depth == 0) return i + 1;
            i++;
        }
        return n;
    }
    while (i < n && e[i] != ',' && e[i] != '}' && e[i] != ']') i++;
    return i;
}

static int same(uint32_t at, uint32_t length, const char *text, uint32_t size)
{
    if (length != size) return 0;
    for (uint32_t k = 0; k < size; k++) if (e[at + k] != (unsigned char)text[k]) return 0;
    return 1;
}
#define SAME(at, length, literal) same(at, length, literal, sizeof(literal) - 1)

static void copy_to(uint32_t end)
{
    __builtin_memcpy(out + written, e + copied, end - copied);
    written += end - copied;
    copied = end;
}

static uint32_t without_password(uint32_t i)
{
    uint32_t behind = ++i;
    int first = 1;
    for (;;) {
        i = skip_space(i);
        if (i >= n) return n;
        if (e[i] == '}') return i + 1;
        if (e[i] == ',') i = skip_space(i + 1);
        uint32_t key = i + 1;
        i = skip_string(i);
        uint32_t length = i - 1 - key;
        i = skip_value(skip_space(skip_space(i) + 1));
        if (SAME(key, length, "password")) {
            copy_to(behind);
            copied = i;
            uint32_t next = skip_space(i);
            if (first && next < n && e[next] == ',') copied = next + 1;
        } else { first = 0; behind = i; }
    }
}

EXPORT(redact) int32_t redact(void)
{
    n = (uint32_t)input_length();
    if (n > MOST) return 1;
    uint32_t at = 0;
    for (; at + 8 <= n; at += 8) { uint64_t v = input_load_u64(at); __builtin_memcpy(e + at, &v, 8); }
    for (; at < n; at++) e[at] = (unsigned char)input_load_u8(at);
    copied = written = 0;
    uint32_t i = skip_space(0) + 1;
    for (;;) {
        i = skip_space(i);
        if (i >= n || e[i] == '}') break;
        if (e[i] == ',') i = skip_space(i + 1);
        uint32_t key = i + 1;
        i = skip_string(i);
        uint32_t length = i - 1 - key;
        i = skip_space(skip_space(i) + 1);
        uint32_t value = i;
        if (SAME(key, length, "updated_values") && e[i] == '{') { i = without_password(i); continue; }
        i = skip_value(i);
        if (SAME(key, length, "action") && SAME(value, i - value, "\"blocked\"")) { output_set(0, 0); return 0; }
        if (SAME(key, length, "changed_by_api_key")) {
            copy_to(value);
            __builtin_memcpy(out + written, "\"***\"", 5);
            written += 5;
            copied = i;
        }
    }
    copy_to(n);
    uint64_t to = alloc(written);
    for (at = 0; at + 8 <= written; at += 8) { uint64_t v; __builtin_memcpy(&v, out + at, 8); store_u64(to + at, v); }
    for (; at < written; at++) store_u8(to + at, out[at]);
    output_set(to, written);
    return 0;
}
