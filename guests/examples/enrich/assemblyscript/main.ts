// Adds a severity by the action, and a flag where nobody is named.
import { Node, path, tidy, Verdict } from "../../../sdk/assemblyscript/auditrelay";

const action = path("action");
const changedBy = path("changed_by");

export function auditrelay_event(): i32 {
  tidy();
  const high = action.is("deleted") || action.is("blocked") || action.is("rotated");
  Node.root().put("severity", high ? '"high"' : '"low"');
  if (changedBy.is("")) Node.root().put("anonymous", "true");
  return Verdict.Keep;
}
