// Drops events about the tables that its configuration lists.
import { path, reason, tidy, Verdict } from "../../../sdk/assemblyscript/auditrelay";

const table = path("table_name");
const tables = path("tables.*");

export function auditrelay_event(): i32 {
  tidy();
  for (let n = tables.findConfig(); n.exists(); n = tables.each(n)) {
    if (table.is(n.text())) {
      reason("its table is configured to be dropped");
      return Verdict.Drop;
    }
  }
  return Verdict.Keep;
}
