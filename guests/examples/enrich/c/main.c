/* Adds a severity by the action, and a flag where nobody is named. */
#include "auditrelay.h"

static int32_t action, changed_by;

int32_t auditrelay_init(void)
{
    action = AUDITRELAY_PATH("action");
    changed_by = AUDITRELAY_PATH("changed_by");
    return 0;
}

int32_t auditrelay_event(void)
{
    if (AUDITRELAY_IS(action, "deleted") || AUDITRELAY_IS(action, "blocked") || AUDITRELAY_IS(action, "rotated"))
        auditrelay_put(AUDITRELAY_ROOT, "severity", 8, "\"high\"", 6);
    else
        auditrelay_put(AUDITRELAY_ROOT, "severity", 8, "\"low\"", 5);
    if (AUDITRELAY_IS(changed_by, ""))
        auditrelay_put(AUDITRELAY_ROOT, "anonymous", 9, "true", 4);
    return AUDITRELAY_KEEP;
}
