/* Drops events about the tables that its configuration lists. */
#include "auditrelay.h"

static int32_t table, tables;

int32_t auditrelay_init(void)
{
    table = AUDITRELAY_PATH("table_name");
    tables = AUDITRELAY_PATH("tables.*");
    return 0;
}

int32_t auditrelay_event(void)
{
    char name[256];
    for (int32_t n = auditrelay_config_find(tables); n >= 0; n = auditrelay_each(tables, n)) {
        int32_t length = auditrelay_get_string(n, name, sizeof name);
        if (length > 0 && length <= (int32_t)sizeof name && auditrelay_is(table, name, (uint32_t)length) == 1) {
            AUDITRELAY_REASON("its table is configured to be dropped");
            return AUDITRELAY_DROP;
        }
    }
    return AUDITRELAY_KEEP;
}
