/* drop-c drops events by rules from the configuration:
 *
 *   {"actions": ["created"], "tables": ["LiteLLM_CacheConfig"]}
 *
 * drops what was created, whatever it is, and everything about that table, and
 * counts what it drops where the operator grants that. */
#include "auditrelay.h"

#define LONGEST 256

static int32_t action, table, actions, tables;

int32_t auditrelay_init(void)
{
    action = AUDITRELAY_PATH("action");
    table = AUDITRELAY_PATH("table_name");
    actions = AUDITRELAY_PATH("actions.*");
    tables = AUDITRELAY_PATH("tables.*");
    if (auditrelay_config_find(actions) < 0 && auditrelay_config_find(tables) < 0)
        AUDITRELAY_FAIL("the configuration must name actions or tables to drop");
    return 0;
}

/* listed tells whether the event's value at path is one of the configured. */
static int listed(int32_t path, int32_t list)
{
    char name[LONGEST];
    for (int32_t n = auditrelay_config_find(list); n >= 0; n = auditrelay_each(list, n)) {
        int32_t length = auditrelay_get_string(n, name, sizeof name);
        if (length < 0 || length > (int32_t)sizeof name)
            continue;
        if (auditrelay_is(path, name, (uint32_t)length) == 1)
            return 1;
    }
    return 0;
}

int32_t auditrelay_event(void)
{
    if (listed(action, actions)) {
        AUDITRELAY_COUNT("dropped_by_action", 1);
        AUDITRELAY_REASON("action is configured to be dropped");
        return AUDITRELAY_DROP;
    }
    if (listed(table, tables)) {
        AUDITRELAY_COUNT("dropped_by_table", 1);
        AUDITRELAY_REASON("table is configured to be dropped");
        return AUDITRELAY_DROP;
    }
    return AUDITRELAY_KEEP;
}
