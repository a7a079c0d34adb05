/* reference-c is reference-go in C: it masks changed_by_api_key, deletes
 * updated_values.password and drops events whose action is "blocked". */
#include "auditrelay.h"

static int32_t action, api_key, password;

int32_t auditrelay_init(void)
{
    action = AUDITRELAY_PATH("action");
    api_key = AUDITRELAY_PATH("changed_by_api_key");
    password = AUDITRELAY_PATH("updated_values.password");
    return 0;
}

int32_t auditrelay_event(void)
{
    if (AUDITRELAY_IS(action, "blocked"))
        return AUDITRELAY_DROP;
    auditrelay_mask_all(api_key);
    auditrelay_delete_all(password);
    return AUDITRELAY_KEEP;
}
