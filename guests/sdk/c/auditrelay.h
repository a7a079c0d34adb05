/* auditrelay.h: guests of the audit event relay in C, version 1 of the ABI.
 *
 * A guest defines auditrelay_event and, to compile its paths, auditrelay_init;
 * docs/guests/tutorial.md tells what the functions do. Build it freestanding,
 *
 *   clang --target=wasm32 -ffreestanding -O2 -nostdlib -Wl,--no-entry -Wl,-z,stack-size=16384 \
 *         -I guests/sdk/c -o guest.wasm main.c
 *
 * or with wasi-libc: --target=wasm32-wasi -mexec-model=reactor. */
#ifndef AUDITRELAY_H
#define AUDITRELAY_H

#include <stdint.h>

#define AUDITRELAY_IMPORT(name) __attribute__((import_module("auditrelay_v1"), import_name(name)))
#define AUDITRELAY_EXPORT(name) __attribute__((export_name(name)))

/* Verdicts. 0 is none, and a failure. */
#define AUDITRELAY_KEEP 1
#define AUDITRELAY_DROP 2

/* What a function returns in place of a result. */
#define AUDITRELAY_ABSENT      (-1)
#define AUDITRELAY_WRONG_KIND  (-2)
#define AUDITRELAY_TOO_LARGE   (-3)
#define AUDITRELAY_EXISTS      (-4)
#define AUDITRELAY_NOT_GRANTED (-5) /* an optional function that was not granted */
#define AUDITRELAY_UNKNOWN     (-6) /* an optional function that the host does not have */

/* What redact_matches does with what was found. */
#define AUDITRELAY_MASK_MATCHES   1
#define AUDITRELAY_REMOVE_MATCHES 2

/* Nodes: the event's root, and none, with which each and child start. */
#define AUDITRELAY_ROOT 0
#define AUDITRELAY_NONE (-1)

enum auditrelay_kind {
    AUDITRELAY_NO_VALUE, AUDITRELAY_NULL, AUDITRELAY_BOOL, AUDITRELAY_NUMBER,
    AUDITRELAY_STRING, AUDITRELAY_OBJECT, AUDITRELAY_ARRAY
};

enum auditrelay_level { AUDITRELAY_DEBUG, AUDITRELAY_INFO, AUDITRELAY_WARN, AUDITRELAY_ERROR };

/* What the guest defines. */
AUDITRELAY_EXPORT("auditrelay_init") int32_t auditrelay_init(void);
AUDITRELAY_EXPORT("auditrelay_event") int32_t auditrelay_event(void);

/* What the host gives. */
AUDITRELAY_IMPORT("path") int32_t auditrelay_path(const char *path, uint32_t length);
AUDITRELAY_IMPORT("regex") int32_t auditrelay_regex(const char *expr, uint32_t length);
AUDITRELAY_IMPORT("detector") int32_t auditrelay_detector(const char *names, uint32_t length);
AUDITRELAY_IMPORT("find") int32_t auditrelay_find(int32_t path);
AUDITRELAY_IMPORT("each") int32_t auditrelay_each(int32_t path, int32_t previous);
AUDITRELAY_IMPORT("child") int32_t auditrelay_child(int32_t node, int32_t previous);
AUDITRELAY_IMPORT("length") int32_t auditrelay_length(int32_t node);
AUDITRELAY_IMPORT("kind") int32_t auditrelay_kind(int32_t node);
AUDITRELAY_IMPORT("key") int32_t auditrelay_key(int32_t node, void *buf, uint32_t capacity);
AUDITRELAY_IMPORT("get") int32_t auditrelay_get(int32_t node, void *buf, uint32_t capacity);
AUDITRELAY_IMPORT("get_string") int32_t auditrelay_get_string(int32_t node, void *buf, uint32_t capacity);
AUDITRELAY_IMPORT("is") int32_t auditrelay_is(int32_t path, const char *text, uint32_t length);
AUDITRELAY_IMPORT("matches") int32_t auditrelay_matches(int32_t node, int32_t regex);
AUDITRELAY_IMPORT("detects") int32_t auditrelay_detects(int32_t node, int32_t detector);
AUDITRELAY_IMPORT("query") int32_t auditrelay_query(const char *query, uint32_t length, void *buf, uint32_t capacity);
AUDITRELAY_IMPORT("set_json") int32_t auditrelay_set_json(int32_t node, const char *json, uint32_t length);
AUDITRELAY_IMPORT("set_string") int32_t auditrelay_set_string(int32_t node, const char *text, uint32_t length);
AUDITRELAY_IMPORT("put") int32_t auditrelay_put(int32_t parent, const char *key, uint32_t key_length, const char *json, uint32_t length);
AUDITRELAY_IMPORT("delete") int32_t auditrelay_delete(int32_t node);
AUDITRELAY_IMPORT("mask") int32_t auditrelay_mask(int32_t node);
AUDITRELAY_IMPORT("truncate") int32_t auditrelay_truncate(int32_t node, int32_t characters);
AUDITRELAY_IMPORT("partial") int32_t auditrelay_partial(int32_t node, int32_t characters);
AUDITRELAY_IMPORT("hmac") int32_t auditrelay_hmac(int32_t node, const char *key, uint32_t key_length);
AUDITRELAY_IMPORT("redact_matches") int32_t auditrelay_redact_matches(int32_t node, int32_t regex_or_detector, int32_t operation);
AUDITRELAY_IMPORT("set_json_all") int32_t auditrelay_set_json_all(int32_t path, const char *json, uint32_t length);
AUDITRELAY_IMPORT("set_string_all") int32_t auditrelay_set_string_all(int32_t path, const char *text, uint32_t length);
AUDITRELAY_IMPORT("delete_all") int32_t auditrelay_delete_all(int32_t path);
AUDITRELAY_IMPORT("mask_all") int32_t auditrelay_mask_all(int32_t path);
AUDITRELAY_IMPORT("truncate_all") int32_t auditrelay_truncate_all(int32_t path, int32_t characters);
AUDITRELAY_IMPORT("partial_all") int32_t auditrelay_partial_all(int32_t path, int32_t characters);
AUDITRELAY_IMPORT("hmac_all") int32_t auditrelay_hmac_all(int32_t path, const char *key, uint32_t key_length);
AUDITRELAY_IMPORT("redact_matches_all") int32_t auditrelay_redact_matches_all(int32_t path, int32_t regex_or_detector, int32_t operation);
AUDITRELAY_IMPORT("event_len") int32_t auditrelay_event_len(void);
AUDITRELAY_IMPORT("event_read") int32_t auditrelay_event_read(void *buf, uint32_t capacity);
AUDITRELAY_IMPORT("event_replace") int32_t auditrelay_event_replace(const char *json, uint32_t length);
AUDITRELAY_IMPORT("emit") int32_t auditrelay_emit(const char *callback, uint32_t callback_length, const char *json, uint32_t length);
AUDITRELAY_IMPORT("reason") int32_t auditrelay_reason(const char *text, uint32_t length);
AUDITRELAY_IMPORT("config") int32_t auditrelay_config(void *buf, uint32_t capacity);
AUDITRELAY_IMPORT("config_find") int32_t auditrelay_config_find(int32_t path);
AUDITRELAY_IMPORT("sequence") int64_t auditrelay_sequence(void);
AUDITRELAY_IMPORT("received") int64_t auditrelay_received(void);
AUDITRELAY_IMPORT("log") int32_t auditrelay_log(int32_t level, const char *text, uint32_t length);
AUDITRELAY_IMPORT("count") int32_t auditrelay_count(const char *metric, uint32_t metric_length, uint32_t n);
AUDITRELAY_IMPORT("fail") _Noreturn void auditrelay_fail(const char *text, uint32_t length);
AUDITRELAY_IMPORT("has") int32_t auditrelay_has(const char *function, uint32_t length);

/* The same with string literals. */
#define AUDITRELAY_PATH(literal)         auditrelay_path(literal, sizeof(literal) - 1)
#define AUDITRELAY_REGEX(literal)        auditrelay_regex(literal, sizeof(literal) - 1)
#define AUDITRELAY_IS(path, literal)     (auditrelay_is(path, literal, sizeof(literal) - 1) == 1)
#define AUDITRELAY_HMAC_ALL(path, key)   auditrelay_hmac_all(path, key, sizeof(key) - 1)
#define AUDITRELAY_REASON(literal)       auditrelay_reason(literal, sizeof(literal) - 1)
#define AUDITRELAY_COUNT(literal, n)     auditrelay_count(literal, sizeof(literal) - 1, n)
#define AUDITRELAY_LOG(level, literal)   auditrelay_log(level, literal, sizeof(literal) - 1)
#define AUDITRELAY_FAIL(literal)         auditrelay_fail(literal, sizeof(literal) - 1)
#define AUDITRELAY_HAS(literal)          (auditrelay_has(literal, sizeof(literal) - 1) == 1)

#endif
